import { expect, test } from 'vitest';
import { labelKeys } from '../../rate/keys.ts';
import { validateSubresource } from '../../webhook/validate-subresource.ts';
import { pod } from './pods.ts';

const keys = labelKeys('rate');
const labels = { rate: '1M', 'podrate.dev/shaped': 'true' };
const annotations = { 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}', note: 'x' };
const before = pod({ labels, annotations });
const good = { outcome: 'leave', warnings: [] };

test('a status that leaves what counts alone is allowed, also of a mirror pod', () => {
  const after = pod({ labels: { ...labels, app: 'web' }, annotations: { ...annotations, note: 'y' } });
  expect(validateSubresource(before, after, keys)).toEqual(good);
  const mirror = pod({ annotations: { 'kubernetes.io/config.mirror': 'h', 'kubernetes.io/config.hash': 'h' } });
  expect(validateSubresource(mirror, mirror, keys)).toEqual(good);
});

test.each([
  ['stamp/forged', { annotations: { ...annotations, 'podrate.dev/limit': '{}' } }],
  ['stamp/forged', { annotations: {} }],
  ['stamp/forged', { labels: { rate: '1M' } }],
  ['pod/rate-label', { labels: { ...labels, rate: '2M' } }],
  ['pod/rate-label', { labels: { ...labels, 'rate-ingress': 'none' } }],
  ['pod/rate-label', { labels: { 'podrate.dev/shaped': 'true' } }],
  ['pod/dscp', { annotations: { ...annotations, 'podrate.dev/dscp': 'EF' } }],
  ['pod/static-pod', { annotations: { ...annotations, 'kubernetes.io/config.hash': 'h' } }],
  ['pod/static-pod', { annotations: { ...annotations, 'kubernetes.io/config.mirror': 'h' } }],
])('a status is refused with %s for %j', (code, change) => {
  expect(validateSubresource(before, pod({ labels, annotations, ...change }), keys)).toMatchObject({
    outcome: 'deny',
    status: 403,
    code,
  });
});

test('a static pod keeps its hash, or its limit would fall on nothing', () => {
  const mirror = pod({ annotations: { 'kubernetes.io/config.hash': 'h' } });
  expect(validateSubresource(mirror, pod({}), keys)).toMatchObject({ code: 'pod/static-pod' });
});

test('a binding may bring other metadata, and nothing that counts', () => {
  const bind = (metadata: object) => validateSubresource(undefined, pod(metadata), keys);
  expect(bind({})).toEqual(good);
  expect(bind({ labels: { zone: 'a' }, annotations: { note: 'x' } })).toEqual(good);
  expect(bind({ annotations })).toMatchObject({ code: 'stamp/forged' });
  expect(bind({ labels: { 'rate-egress': '1M' } })).toMatchObject({
    message: expect.stringContaining('label rate-egress cannot be set'),
  });
  expect(bind({ annotations: { 'kubernetes.io/config.hash': 'h' } })).toMatchObject({ code: 'pod/static-pod' });
});

test('the rate labels are those of the installation', () => {
  const after = pod({ labels: { rate: 'high' } });
  expect(validateSubresource(undefined, after, labelKeys('example.com/rate'))).toEqual(good);
});
