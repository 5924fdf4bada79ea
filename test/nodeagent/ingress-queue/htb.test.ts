import fc from 'fast-check';
import { expect, test } from 'vitest';
import { classesOf } from '../../../nodeagent/ingress-queue/htb.ts';

const mtu = 1500;
const rates = fc.integer({ min: 1000, max: 12_500_000_000 });

test('the queue is never faster than the limit counts, and at most two bytes slower', () => {
  fc.assert(
    fc.property(rates, fc.constantFrom(1280, 1450, 1500, 9000), (rate, size) => {
      const [inner] = classesOf({ rate, mtu: size });
      // Of full-sized packets, IP bytes per second.
      const ip = ((inner?.ceil ?? 0) / (size + 14)) * size;
      expect(ip).toBeLessThanOrEqual(rate * (1 + 1e-9));
      expect(ip).toBeGreaterThan(rate * (1 - 1e-9) - 2);
    }),
  );
});

test('no class may take more than the rate, and together the classes are sure of no more', () => {
  fc.assert(
    fc.property(rates, (rate) => {
      const [inner, ...classes] = classesOf({ rate, mtu });
      expect(inner?.rate).toBe(inner?.ceil);
      expect(classes).toHaveLength(4);
      expect(classes.every(({ ceil }) => ceil === inner?.rate)).toBe(true);
      const sure = classes.map((one) => one.rate);
      expect(sure.reduce((total, one) => total + one, 0)).toBeLessThanOrEqual(inner?.rate ?? 0);
      expect(sure.every((one) => one > 0)).toBe(true);
    }),
  );
});

test('at the lowest rate the kernel can still count the time of a burst: 32 bits of 64 ns', () => {
  for (const { rate, burst } of classesOf({ rate: 1000, mtu })) expect(burst / rate / 64e-9).toBeLessThan(2 ** 32);
});

test('the classes of a queue at 1 MB/s', () => {
  const [whole, quantum] = [1_009_333, 1514];
  const shared = { ceil: whole, burst: 32_768 };
  expect(classesOf({ rate: 1_000_000, mtu })).toEqual([
    { ...shared, minor: 0x1, rate: whole, priority: 0, quantum, limit: 0 },
    { ...shared, minor: 0x10, rate: 126_166, priority: 0, quantum: 3 * quantum, limit: 90_769 },
    { ...shared, minor: 0x18, rate: 126_166, priority: 1, quantum: 3 * quantum, limit: 166_469 },
    { ...shared, minor: 0x20, rate: 504_666, priority: 1, quantum: 3 * quantum, limit: 90_769 },
    { ...shared, minor: 0x30, rate: 252_333, priority: 1, quantum, limit: 90_769 },
  ]);
});
