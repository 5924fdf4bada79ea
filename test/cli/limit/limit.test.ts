import { expect, test } from 'vitest';
import { readLimit } from '../../../cli/limit/limit.ts';

test('a rate limits both directions, each of its own', () => {
  expect(readLimit({ rate: '1M' })).toEqual({
    limit: { egress: 1_000_000, ingress: 1_000_000 },
    burstMs: 0,
    dscp: undefined,
  });
});

test('the rate of a direction wins over the one for both', () => {
  expect(readLimit({ rate: '1M', ingress: '16Mbit' }).limit).toEqual({ egress: 1_000_000, ingress: 2_000_000 });
  expect(readLimit({ rate: '1M', egress: 'none' }).limit).toEqual({ ingress: 1_000_000 });
});

test('the burst is a time', () => {
  expect(readLimit({ egress: '1M', burst: '20' })).toEqual({
    limit: { egress: 1_000_000 },
    burstMs: 20,
    dscp: undefined,
  });
});

test('a mark needs no rate beside it', () => {
  expect(readLimit({ dscp: 'ef' })).toEqual({ limit: {}, burstMs: 0, dscp: 46 });
  expect(readLimit({ dscp: 'none', rate: '1M' })).toMatchObject({ dscp: undefined });
});

test.each([
  [{ dscp: 'none' }, 'say what the limit is'],
  [{ dscp: 'gold', rate: '1M' }, '--dscp "gold" is no name of a code point'],
  [{}, 'say what the limit is, such as --rate 1M'],
  [{ rate: 'none' }, 'to take a limit off, use podrate detach'],
  [{ rate: '1m' }, '--rate "1m" has the unit m, which is milli'],
  [{ rate: '1M', egress: '10' }, '--egress "10" has no unit'],
  [{ rate: '1M', burst: '0' }, '--burst "0" is not a whole number of milliseconds from 1 to 1000'],
  [{ rate: '1M', burst: '1.5' }, '--burst "1.5" is not'],
])('%j is wrong usage, and it is said why', (options, message) => {
  expect(() => readLimit(options)).toThrow(expect.objectContaining({ code: 'cli/usage' }));
  expect(() => readLimit(options)).toThrow(message);
});
