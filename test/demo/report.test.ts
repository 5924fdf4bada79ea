import { expect, test } from 'vitest';
import { outsideBounds } from '../../demo/report/report.ts';

const pod = (direction: 'egress' | 'ingress', share: number) => ({
  name: 'p',
  label: '1M',
  direction,
  limitBytesPerSecond: 1_000_000,
  measuredBytesPerSecond: share * 1_000_000,
});

test('what a pod sends must be within three percent of its limit', () => {
  expect(outsideBounds([pod('egress', 0.975), pod('egress', 1.025)])).toEqual([]);
  expect(outsideBounds([pod('egress', 0.96), pod('egress', 1.04)])).toHaveLength(2);
});

test('what a pod receives may be ten percent below its limit and three above', () => {
  expect(outsideBounds([pod('ingress', 0.91), pod('ingress', 1.02)])).toEqual([]);
  expect(outsideBounds([pod('ingress', 0.89), pod('ingress', 1.04)])).toHaveLength(2);
});
