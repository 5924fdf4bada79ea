import { expect, test } from 'vitest';
import { htbRates, htbRatesOf } from '../../nodeagent/queue-state.ts';

const one = `class htb 7064:10 parent 7064:1 leaf 8064: prio 0 rate 4037Kbit ceil 8074666bit burst 3100b cburst 3099b
class htb 7064:1 root rate 8074Kbit ceil 8074Kbit burst 3099b cburst 3099b
class htb 7064:20 parent 7064:1 leaf 9064: prio 1 rate 2Gbit ceil 1.5Mbit burst 3100b cburst 3099b
class htb 7064:30 parent 7064:1 leaf a064: prio 1 rate 800bit ceil 8074Kbit burst 3100b cburst 3099b
`;

test('rates are read in every unit that tc prints', () => {
  expect(htbRates(one)).toEqual({
    '10': { rate: 4_037_000, ceil: 8_074_666 },
    '1': { rate: 8_074_000, ceil: 8_074_000 },
    '20': { rate: 2_000_000_000, ceil: 1_500_000 },
    '30': { rate: 800, ceil: 8_074_000 },
  });
});

test('classes of several devices are told apart by their number, and not at all where that does not add up', () => {
  expect(htbRatesOf(`${one}${one.replace('4037K', '1K')}`, ['a', 'b'])?.get('b')?.['10']?.rate).toBe(1000);
  expect(htbRatesOf(one, ['a', 'b'])).toBeUndefined();
  expect(htbRatesOf(`${one}${one}`.replace('7064:20', '7064:10'), ['a', 'b'])).toBeUndefined();
  expect(htbRatesOf('', [])).toEqual(new Map());
});
