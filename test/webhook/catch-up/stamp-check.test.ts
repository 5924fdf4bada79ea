import { describe, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { lacksStamp } from '../../../webhook/catch-up/stamp-check.ts';
import { decide } from '../../../webhook/decide.ts';
import { podSchema } from '../../../webhook/pod.ts';
import { applied, podJson } from '../pods.ts';

const keys = labelKeys('rate');
const lacks = (metadata: object, more: object = {}) =>
  lacksStamp(podSchema.parse({ ...podJson(metadata), ...more }), keys);
const shaped = { 'podrate.dev/shaped': 'true' };
const limit = (text: string) => ({ 'podrate.dev/limit': text });
const mark = { 'podrate.dev/dscp': 'EF' };
const oneMega = limit('{"egress":1000000,"ingress":1000000}');

test.each([
  { rate: '1M' },
  { rate: '1.0M' },
  { 'rate-egress': '1M' },
  { rate: 'none', 'rate-ingress': '2M' },
  { rate: '8Mbit', 'rate-egress': 'none' },
])('a pod with the labels %j lacks a stamp until admission has decided', (labels) => {
  const json = podJson({ labels });
  expect(lacksStamp(podSchema.parse(json), keys)).toBe(true);
  const decision = decide({ pod: podSchema.parse(json), oldPod: undefined, byNode: false }, keys);
  expect(lacksStamp(podSchema.parse(applied(json, decision)), keys)).toBe(false);
});

test.each([
  ['without a stamp', { rate: '1M' }, {}],
  ['with an annotation only', { rate: '1M' }, oneMega],
  ['with a label only', { rate: '1M', ...shaped }, {}],
  ['with another rate', { rate: '2M', ...shaped }, oneMega],
  ['with a direction too few', { rate: '1M', ...shaped }, limit('{"egress":1000000}')],
  ['with a limit and the rate none', { rate: 'none', ...shaped }, oneMega],
  ['with a mark and the rate none', { rate: 'none', 'podrate.dev/shaped': 'false' }, {}],
  ['with a stamp in other words', { rate: '1M', ...shaped }, limit('{"ingress":1000000, "egress":1000000}')],
  ['with an annotation for marking that its stamp lacks', { rate: '1M', ...shaped }, { ...oneMega, ...mark }],
  ['with a stamp that is none', { rate: '1M', ...shaped }, limit('1M')],
  ['with a label that is no rate', { rate: '10' }, {}],
  // Only those are asked about that a policy gives a default.
  ['without a rate label', {}, {}],
  ['that asks for a stamp', { 'podrate.dev/shaped': 'wanted' }, {}],
])('a pod %s lacks its stamp', (_, labels, annotations) => {
  expect(lacks({ labels, annotations })).toBe(true);
});

describe('nothing is lacking', () => {
  test.each([
    ['without a rate label and with a default', shaped, oneMega],
    ['that wants no limit', { rate: 'none' }, {}],
    ['whose other direction has a default that may be an older one', { 'rate-egress': '1M', ...shaped }, oneMega],
    ['with a mark', { rate: '1M', ...shaped }, { ...mark, ...limit('{"egress":1000000,"ingress":1000000,"dscp":46}') }],
    ['of a kubelet', { rate: '1M' }, { 'kubernetes.io/config.mirror': 'x' }],
  ])('of a pod %s', (_, labels, annotations) => {
    expect(lacks({ labels, annotations })).toBe(false);
  });

  test('of a pod that is being deleted or has finished', () => {
    expect(lacks({ labels: { rate: '1M' }, deletionTimestamp: '2026-01-01T00:00:00Z' })).toBe(false);
    expect(lacks({ labels: { rate: '1M' } }, { status: { phase: 'Succeeded' } })).toBe(false);
  });
});
