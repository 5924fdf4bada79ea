import { expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { parsePolicy } from '../../../rate/policy.ts';
import { hasWrongStamp } from '../../../webhook/reconcile/candidates.ts';

const keys = labelKeys('rate');
const both = (rate: number) => JSON.stringify({ egress: rate, ingress: rate });
const policyOf = (policy: object) => {
  const labels = Object.entries({ mode: 'enforce', ...policy }).map(([key, value]) => [`podrate.dev/${key}`, value]);
  return parsePolicy(Object.fromEntries(labels), { default: {}, max: {} });
};

test.each([
  ['no stamp and no label', false, {}, undefined, undefined],
  ['no stamp and a rate', true, { rate: '1M' }, undefined, undefined],
  ['the stamp of its rate', false, { rate: '1M' }, both(1_000_000), undefined],
  ['the stamp of another rate', true, { rate: '2M' }, both(1_000_000), undefined],
  ['a stamp where its rate is none', true, { rate: 'none' }, both(1_000_000), undefined],
  ['a default in a direction that it does not name', false, { 'rate-egress': '1M' }, both(1_000_000), undefined],
  ['a stamp from a policy that nobody knows', false, {}, both(9_000_000), undefined],
  ['no stamp where its policy has a default', true, {}, undefined, { default: '1M' }],
  ['a stamp above the maximum of its policy', true, {}, both(12_500_000_000), { max: '5M' }],
  ['a stamp below the minimum of its policy', true, {}, both(1_000), { min: '5M' }],
  ['a stamp within the bounds of its policy', false, {}, both(2_000_000), { default: '1M', max: '5M' }],
  ['a malformed rate and no stamp', false, { rate: '10' }, undefined, undefined],
  ['a malformed rate and a stamp', true, { rate: '10' }, both(1_000_000), undefined],
  ['a stamp that podrate does not write', true, {}, '{"egress": 1000000}', undefined],
  [
    'a code point that it does not ask for',
    true,
    { rate: '1M' },
    '{"egress":1000000,"ingress":1000000,"dscp":46}',
    undefined,
  ],
])('a pod with %s has a wrong stamp: %s', (_, isWrong, labels, stamp, policy) => {
  const shaped = stamp === undefined ? {} : { 'podrate.dev/shaped': 'true' };
  const metadata = {
    labels: { ...(labels as object), ...shaped },
    ...(stamp !== undefined && { annotations: { 'podrate.dev/limit': stamp } }),
  };
  expect(hasWrongStamp(metadata, keys, policy && policyOf(policy))).toBe(isWrong);
});

test('half a stamp, and the label that asks for one, are wrong stamps', () => {
  expect(hasWrongStamp({ labels: { 'podrate.dev/shaped': 'true' } }, keys, undefined)).toBe(true);
  expect(hasWrongStamp({ labels: { 'podrate.dev/shaped': 'wanted' } }, keys, undefined)).toBe(true);
  expect(hasWrongStamp({ annotations: { 'podrate.dev/limit': both(1_000_000) } }, keys, undefined)).toBe(true);
});
