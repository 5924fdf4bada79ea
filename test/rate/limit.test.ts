import fc from 'fast-check';
import { expect, test } from 'vitest';
import { labelKeys } from '../../rate/keys.ts';
import { canonicalLabels, LabelError, requestedLimit } from '../../rate/limit.ts';

const keys = labelKeys('rate');

test.each([
  [undefined, undefined],
  [{}, undefined],
  [{ app: 'web' }, undefined],
  [{ rate: '1M' }, { egress: 1_000_000, ingress: 1_000_000 }],
  [{ 'rate-egress': '1M' }, { egress: 1_000_000 }],
  [{ 'rate-ingress': '1M' }, { ingress: 1_000_000 }],
  [
    { rate: '1M', 'rate-egress': '2M' },
    { egress: 2_000_000, ingress: 1_000_000 },
  ],
  [{ rate: '1M', 'rate-ingress': 'none' }, { egress: 1_000_000 }],
  [{ rate: 'none', 'rate-ingress': '3M' }, { ingress: 3_000_000 }],
  [{ rate: 'none' }, {}],
  [{ rate: '1M', 'rate-egress': 'none', 'rate-ingress': 'none' }, {}],
])('the labels %j ask for %j', (labels, limit) => {
  expect(requestedLimit(labels, keys)).toEqual(limit);
});

test('a label that is no rate is refused by name, also where another label wins over it', () => {
  const read = () => requestedLimit({ rate: '10', 'rate-egress': '1M', 'rate-ingress': '1M' }, keys);
  expect(read).toThrow(LabelError);
  expect(read).toThrow('label rate: "10" has no unit');
});

test('other label keys of the installation are read instead of the usual ones', () => {
  const own = labelKeys('example.com/speed');
  expect(requestedLimit({ 'example.com/speed': '1M', rate: 'high' }, own)).toEqual({
    egress: 1_000_000,
    ingress: 1_000_000,
  });
});

test('a label key inherited from an object prototype is no label', () => {
  expect(requestedLimit({}, labelKeys('constructor'))).toBeUndefined();
});

test('the canonical form names each rate label that is there and asks for the same limit', () => {
  expect([...canonicalLabels({ rate: '1000KB', 'rate-egress': 'none', app: 'x' }, keys)]).toEqual([
    ['rate', '1M'],
    ['rate-egress', 'none'],
  ]);
  const value = fc.constantFrom('1M', '1.0M', '1000K', '1024Ki', '8mbit', 'none');
  fc.assert(
    fc.property(
      fc.record({ rate: value, 'rate-egress': value, 'rate-ingress': value }, { requiredKeys: [] }),
      (labels) => {
        const canonical = Object.fromEntries(canonicalLabels(labels, keys));
        expect(Object.keys(canonical).sort()).toEqual(Object.keys(labels).sort());
        expect(requestedLimit(canonical, keys)).toEqual(requestedLimit(labels, keys));
        expect(Object.fromEntries(canonicalLabels(canonical, keys))).toEqual(canonical);
      },
    ),
  );
});
