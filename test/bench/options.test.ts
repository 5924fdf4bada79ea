import { expect, test } from 'vitest';
import { parseOptions } from '../../bench/options.ts';

test('without options the whole benchmark runs five rounds, with --quick one', () => {
  expect(parseOptions([])).toMatchObject({ quick: false, rounds: 5, only: [], not: [] });
  expect(parseOptions(['--quick'])).toMatchObject({ quick: true, rounds: 1 });
  expect(parseOptions(['--quick', '--rounds', '3'])).toMatchObject({ rounds: 3 });
});

test('all words after --only pick, also those in one argument', () => {
  expect(parseOptions(['--only', 'egress', '10MB/s', '--rounds', '2']).only).toEqual(['egress', '10MB/s']);
  expect(parseOptions(['--only', 'egress 10MB/s']).only).toEqual(['egress', '10MB/s']);
});

test('words after --not take out, one each time', () => {
  const { only, not } = parseOptions(['--only', 'egress', '--not', 'far', '--not', 'bbr 8', '10MB/s']);
  expect({ only, not }).toEqual({ only: ['egress', '10MB/s'], not: ['far', 'bbr', '8'] });
});

test('what is no option is refused in one sentence', () => {
  expect(() => parseOptions(['egress'])).toThrow('"egress" is no option; words that pick scenarios come after --only.');
  expect(() => parseOptions(['--rounds', '0'])).toThrow('--rounds 0 is not a whole number between 1 and 100.');
  expect(() => parseOptions(['--fast'])).toThrow();
});
