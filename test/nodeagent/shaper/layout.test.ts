import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeConfig,
  decodeCounters,
  decodeOwner,
  decodeU32,
  decodeU64,
  encodeConfig,
  encodeOwner,
  encodeU32,
  encodeU64,
  isBypassed,
  structures,
} from '../../../nodeagent/shaper/layout.ts';

const direction = fc.record({ rate: fc.nat({ max: 2 ** 31 - 1 }), burstNs: fc.nat({ max: 2 ** 31 - 1 }) });
const config = fc.record({ egress: direction, ingress: direction, release: fc.boolean(), queued: fc.boolean() });

test('every config comes back as it was written', () => {
  fc.assert(
    fc.property(config, (value) => {
      expect(decodeConfig(encodeConfig(value))).toEqual(value);
    }),
  );
});

test('every owner comes back as it was written', () => {
  const owner = fc.record({
    cgroupId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    name: fc.stringMatching(/^(pod|manual)\/[0-9a-f-]{1,40}$/),
  });
  fc.assert(
    fc.property(owner, (value) => {
      expect(decodeOwner(encodeOwner(value))).toEqual(value);
    }),
  );
});

test('every key comes back as it was written', () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 32 - 1 }), (value) => decodeU32(encodeU32(value)) === value));
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => decodeU64(encodeU64(value)) === value));
});

test('a rate above 4 GB/s is written whole', () => {
  const rate = 12_500_000_000;
  const bytes = encodeConfig({
    egress: { rate, burstNs: 0 },
    ingress: { rate: 0, burstNs: 0 },
    release: false,
    queued: false,
  });
  expect(decodeConfig(bytes).egress.rate).toBe(rate);
});

test('counters are summed over the CPUs, field by field', () => {
  const cpu = (first: bigint) => {
    const words = BigUint64Array.from(
      { length: structures.podrate_counters.size / 8 },
      (_, index) => first + BigInt(index),
    );
    return new Uint8Array(words.buffer);
  };
  const { egress, ingress } = decodeCounters([cpu(0n), cpu(100n)]);
  expect(egress.passed).toEqual({ packets: 100, bytes: 102 });
  expect(egress.delayed).toEqual({ packets: 104, bytes: 106 });
  expect(egress.dropped).toEqual({ packets: 108, bytes: 110 });
  expect(egress.marked).toEqual({ packets: 112, bytes: 114 });
  expect(ingress.passed).toEqual({ packets: 116, bytes: 118 });
  expect(ingress.marked).toEqual({ packets: 128, bytes: 130 });
});

test('a value of another size is refused: it is from another version of the object', () => {
  expect(() => decodeConfig(new Uint8Array(32))).toThrow('expected 40 bytes of a map value, got 32');
  expect(() => decodeOwner(new Uint8Array(8))).toThrow(RangeError);
});

test('an owner name that leaves no room for the closing zero is refused', () => {
  expect(() => encodeOwner({ cgroupId: 1n, name: 'x'.repeat(64) })).toThrow(RangeError);
  expect(decodeOwner(encodeOwner({ cgroupId: 1n, name: 'x'.repeat(63) })).name).toHaveLength(63);
});

test('a slot whose packets the queue has not seen for seconds is bypassed, one that received nothing is not', () => {
  const second = 1_000_000_000n;
  const state = (chargedNs: bigint, queuedNs: bigint) => {
    const { size, fields } = structures.podrate_state;
    const bytes = new Uint8Array(size);
    // The clock counts in 1/256 ns.
    bytes.set(encodeU64(chargedNs << 8n), fields.ingress);
    bytes.set(encodeU64(queuedNs), fields.queued_ns);
    return bytes;
  };
  expect(isBypassed(state(0n, 0n))).toBe(false);
  expect(isBypassed(state(199n * second, 198n * second))).toBe(false);
  expect(isBypassed(state(199n * second, 120n * second))).toBe(true);
  expect(isBypassed(state(199n * second, 0n))).toBe(true);
  expect(isBypassed(state(199n * second, 900n * second))).toBe(false);
});
