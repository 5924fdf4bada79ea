import { expect, test } from 'vitest';
import { deviation, jain, jointPercentile, median, percentile } from '../../bench/figures/statistics.ts';

test('the median of an even number of values is the mean of the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a percentile is the nearest rank, and the order of the values does not matter', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(percentile(values, 0.5)).toBe(50);
  expect(percentile(values, 0.99)).toBe(99);
  expect(percentile(values, 1)).toBe(100);
  expect(percentile([7], 0.01)).toBe(7);
  expect(percentile([], 0.5)).toBeNaN();
});

test('a percentile of several lists is that of all their values', () => {
  const ascending = (values: readonly number[]) => values.toSorted((one, other) => one - other);
  for (let round = 0; round < 200; round += 1) {
    const lists = Array.from({ length: 1 + (round % 4) }, () =>
      ascending(Array.from({ length: Math.floor(Math.random() * 40) }, () => Math.round(Math.random() * 50) / 7)),
    );
    for (const part of [0, 0.01, 0.5, 0.99, 1])
      expect(jointPercentile(lists, part)).toBe(percentile(lists.flat(), part));
  }
  expect(jointPercentile([], 0.5)).toBeNaN();
  expect(jointPercentile([[], [4.1]], 0.01)).toBe(4.1);
});

test('the standard deviation is that of the values themselves', () => {
  expect(deviation([2, 4, 4, 4, 5, 5, 7, 9])).toBe(2);
  expect(deviation([3, 3, 3])).toBe(0);
});

test("Jain's index is 1 for equal shares and 1/n when one has everything", () => {
  expect(jain([5, 5, 5, 5])).toBe(1);
  expect(jain([9, 0, 0, 0])).toBe(0.25);
});
