import { expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { hasRateLabel, hasSameRateLabels } from '../../../webhook/admission/requests.ts';

const keys = labelKeys('rate');
const labelled = (labels: Record<string, string> | undefined) => ({ labels, annotations: undefined });

test.each([
  [true, undefined, {}],
  [true, { rate: '1M', app: 'a' }, { rate: '1M', app: 'b' }],
  [true, { rate: '1000K' }, { rate: '1M' }],
  [true, { 'rate-egress': '8mbit' }, { 'rate-egress': '1M' }],
  [true, { rate: 'none' }, { rate: 'none' }],
  [true, { rate: '10' }, { rate: '10' }],
  [false, { rate: '10' }, { rate: '10M' }],
  [false, { rate: '10' }, { rate: '11' }],
  [false, { rate: '1M' }, { rate: '1Mi' }],
  [false, { rate: '1M' }, { rate: 'none' }],
  [false, { rate: '' }, {}],
  [false, { rate: '1M' }, { rate: '1M', 'rate-egress': '1M' }],
])('it is %s that %j and %j say the same about rates', (isSame, one, other) => {
  expect(hasSameRateLabels(labelled(one), labelled(other), keys)).toBe(isSame);
  expect(hasSameRateLabels(labelled(other), labelled(one), keys)).toBe(isSame);
});

test('a rate label is one of the three keys of the installation', () => {
  expect(hasRateLabel(labelled(undefined), keys)).toBe(false);
  expect(hasRateLabel(labelled({ app: 'web' }), keys)).toBe(false);
  expect(hasRateLabel(labelled({ 'rate-ingress': '' }), keys)).toBe(true);
});
