import { expect, test } from 'vitest';
import { bytesAt, type Point, rateBetween, settled, windows } from '../../bench/figures/series.ts';

/** Samples every 20 ms of a flow whose rate, in bytes per second, follows `rate`. */
function flow(seconds: number, rate: (second: number) => number): Point[] {
  const points: Point[] = [{ us: 0, bytes: 0 }];
  for (let us = 20_000; us <= seconds * 1e6; us += 20_000) {
    points.push({ us, bytes: (points.at(-1)?.bytes ?? 0) + rate((us - 20_000) / 1e6) * 0.02 });
  }
  return points;
}

test('between two samples bytes are interpolated, beyond the last they stay', () => {
  const points = [
    { us: 0, bytes: 0 },
    { us: 100, bytes: 50 },
  ];
  expect(bytesAt(points, 30)).toBe(15);
  expect(bytesAt(points, 500)).toBe(50);
});

test('the mean rate does not depend on where the samples lie', () => {
  expect(
    rateBetween(
      flow(2, () => 1000),
      333_333,
      1_777_777,
    ),
  ).toBeCloseTo(1000);
});

test('only whole windows count', () => {
  const points = flow(1, () => 1000);
  expect(windows(points, 0, 950_000, 100_000)).toHaveLength(9);
  expect(windows(points, 0, 50_000, 100_000)).toEqual([]);
});

test('a change has settled when every later window is within the tolerance', () => {
  const points = flow(3, (second) => (second < 1.5 ? 2000 : 1000));
  const late = settled(points, 1_000_000, 3_000_000, 1000, { lengthUs: 200_000, tolerance: 0.08 });
  expect(late).toBeGreaterThan(450_000);
  expect(late).toBeLessThanOrEqual(520_000);
  expect(settled(points, 1_600_000, 3_000_000, 1000, { lengthUs: 200_000, tolerance: 0.08 })).toBe(0);
});

test('a change that never settles took the whole time', () => {
  const points = flow(2, () => 500);
  expect(settled(points, 0, 2_000_000, 1000, { lengthUs: 200_000, tolerance: 0.08 })).toBe(2_000_000);
});
