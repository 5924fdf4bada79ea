import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isDscp } from '../../rate/dscp.ts';
import { isRate, maxRate, minRate } from '../../rate/rate.ts';
import { formatStamp, parseStamp, StampError, type Stamped, stampedLimit } from '../../rate/stamp.ts';

const rate = fc.integer({ min: minRate, max: maxRate }).filter(isRate);
const dscp = fc.integer({ min: 0, max: 63 }).filter(isDscp);
const stamps = fc
  .record({ egress: rate, ingress: rate, dscp }, { requiredKeys: [] })
  .filter((limit) => Object.keys(limit).length > 0) as fc.Arbitrary<Stamped>;

test('a stamp is JSON with the bytes per second of each limited direction', () => {
  const limit = parseStamp('{"ingress":2000,"egress":1000}');
  expect(limit).toEqual({ egress: 1000, ingress: 2000 });
  expect(formatStamp(limit)).toBe('{"egress":1000,"ingress":2000}');
  expect(formatStamp(parseStamp('{"ingress":2000}'))).toBe('{"ingress":2000}');
});

test('a code point stands behind the limits, or alone', () => {
  expect(formatStamp(parseStamp('{"dscp":46,"egress":1000}'))).toBe('{"egress":1000,"dscp":46}');
  expect(formatStamp(parseStamp('{"dscp":0}'))).toBe('{"dscp":0}');
});

test('every stamp survives being written and read', () => {
  fc.assert(
    fc.property(stamps, (stamp) => {
      expect(parseStamp(formatStamp(stamp))).toEqual(stamp);
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
  ['{"dscp":64}', 'stamp/dscp'],
  ['{"dscp":-1}', 'stamp/dscp'],
  ['{"dscp":0.5}', 'stamp/dscp'],
  ['{"egress":1000,"dscp":"46"}', 'stamp/dscp'],
  ['{"egress":1000,"dscp":null}', 'stamp/dscp'],
])('the text %j is no stamp', (text, code) => {
  expect(() => parseStamp(text)).toThrow(expect.objectContaining({ name: 'StampError', code, value: text }));
});

test('no text breaks the reader', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      try {
        const { dscp: marked = 0, ...limit } = parseStamp(text);
        expect([...Object.values(limit).map(isRate), isDscp(marked)]).not.toContain(false);
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
