import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Limit } from '../../rate/limit.ts';
import { isRate, maxRate, minRate } from '../../rate/rate.ts';
import { formatStamp, parseStamp, StampError, stampedLimit } from '../../rate/stamp.ts';

const rate = fc.integer({ min: minRate, max: maxRate }).filter(isRate);
const limits = fc
  .record({ egress: rate, ingress: rate }, { requiredKeys: [] })
  .filter((limit) => Object.keys(limit).length > 0) as fc.Arbitrary<Limit>;

test('a stamp is JSON with the bytes per second of each limited direction', () => {
  const limit = parseStamp('{"ingress":2000,"egress":1000}');
  expect(limit).toEqual({ egress: 1000, ingress: 2000 });
  expect(formatStamp(limit)).toBe('{"egress":1000,"ingress":2000}');
  expect(formatStamp(parseStamp('{"ingress":2000}'))).toBe('{"ingress":2000}');
});

test('every limit survives being stamped and read', () => {
  fc.assert(
    fc.property(limits, (limit) => {
      expect(parseStamp(formatStamp(limit))).toEqual(limit);
    }),
  );
});

test.each([
  ['', 'stamp/not-json'],
  ['1M', 'stamp/not-json'],
  ['null', 'stamp/shape'],
  ['[]', 'stamp/shape'],
  ['1000000', 'stamp/shape'],
  ['{}', 'stamp/shape'],
  ['{"egress":1000,"burst":1}', 'stamp/shape'],
  ['{"__proto__":1000}', 'stamp/shape'],
  ['{"egress":"1000"}', 'stamp/rate'],
  ['{"egress":999}', 'stamp/rate'],
  ['{"egress":1000.5}', 'stamp/rate'],
  ['{"egress":12500000001}', 'stamp/rate'],
  ['{"egress":-1}', 'stamp/rate'],
  ['{"egress":1e400}', 'stamp/rate'],
  ['{"egress":null}', 'stamp/rate'],
])('the text %j is no stamp', (text, code) => {
  expect(() => parseStamp(text)).toThrow(expect.objectContaining({ name: 'StampError', code, value: text }));
});

test('no text breaks the reader', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      try {
        expect(Object.values(parseStamp(text)).every(isRate)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(StampError);
      }
    }),
  );
});

test('only a pod that is marked as shaped has a stamped limit', () => {
  const annotations = { 'podrate.dev/limit': '{"egress":1000}' };
  const labels = { 'podrate.dev/shaped': 'true' };
  expect(stampedLimit({ labels, annotations })).toEqual({ egress: 1000 });
  expect(stampedLimit({ annotations })).toBeUndefined();
  expect(stampedLimit({ labels: { 'podrate.dev/shaped': 'false' }, annotations })).toBeUndefined();
  expect(stampedLimit(undefined)).toBeUndefined();
});

test('a pod that is marked as shaped and has no stamp is an error, not an unlimited pod', () => {
  expect(() => stampedLimit({ labels: { 'podrate.dev/shaped': 'true' } })).toThrow(
    expect.objectContaining({ code: 'stamp/missing' }),
  );
});
