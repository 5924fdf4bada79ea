import { expect, test } from 'vitest';
import { KeyError, labelKeys } from '../../rate/keys.ts';

test('the direction labels are derived from the base key', () => {
  expect(labelKeys('rate')).toEqual({ both: 'rate', egress: 'rate-egress', ingress: 'rate-ingress' });
  expect(labelKeys('example.com/rate').egress).toBe('example.com/rate-egress');
});

test.each([
  ['', 'legal'],
  ['-rate', 'legal'],
  ['ra te', 'legal'],
  ['a/b/c', 'legal'],
  ['/rate', 'DNS'],
  ['Example.com/rate', 'DNS'],
  ['podrate.dev/rate', 'keeps for itself'],
  ['r'.repeat(56), 'too long'],
])('the base key %j is refused: %s', (base, words) => {
  expect(() => labelKeys(base)).toThrow(KeyError);
  expect(() => labelKeys(base)).toThrow(words);
});

test('the longest usable base key has 55 characters', () => {
  expect(labelKeys('r'.repeat(55)).ingress).toHaveLength(63);
});
