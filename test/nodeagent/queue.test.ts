import fc from 'fast-check';
import { expect, test } from 'vitest';
import { changeCommands, classRates, installCommands, leavesOf, linkRate, podHandle } from '../../nodeagent/queue.ts';

const mtu = 1500;

test('the queue is never faster than the limit counts, and at most a thousandth and a byte slower', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 12_500_000_000 }),
      fc.constantFrom(1280, 1450, 1500, 9000),
      (rate, size) => {
        // Of full-sized packets, IP bytes per second.
        const ip = (linkRate({ rate, mtu: size }) / 8 / (size + 14)) * size;
        expect(ip).toBeLessThanOrEqual(rate * (1 + 1e-9));
        expect(ip).toBeGreaterThan(rate * 0.999 - 1);
      },
    ),
  );
});

test('no class may take more than the rate, and together they are sure of no more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 12_500_000_000 }), (rate) => {
      const { '1': root, ...classes } = classRates({ rate, mtu });
      const sure = Object.values(classes).map((one) => one.rate);
      expect(Object.values(classes).every(({ ceil }) => ceil === root?.ceil)).toBe(true);
      expect(sure.reduce((total, one) => total + one, 0)).toBeLessThanOrEqual(root?.rate ?? 0);
      expect(sure.every((one) => one > 0)).toBe(true);
    }),
  );
});

test('the leaves come last when a queue is installed, so that where they are all is there', () => {
  const commands = installCommands('port', podHandle, { rate: 1_000_000, mtu }, 'bfifo');
  const leaves = leavesOf(podHandle);
  expect(leaves).toHaveLength(3);
  expect(new Set(leaves.map(({ handle }) => handle)).size).toBe(3);
  for (const [index, { parent, handle }] of leaves.entries()) {
    expect(commands.at(index - 3)).toContain(`dev port parent ${parent} handle ${handle} bfifo limit 90536`);
  }
});

test('a change of the rate deletes nothing and adds nothing', () => {
  for (const command of changeCommands('port', podHandle, { rate: 1_000_000, mtu }, 'fq_codel')) {
    expect(command).toMatch(/^(class|qdisc) change dev port /);
  }
});

test("CoDel's target is more than a packet's time, and 5 ms where packets are fast", () => {
  const target = (rate: number) =>
    /target (\d+)us interval (\d+)us/
      .exec(changeCommands('port', podHandle, { rate, mtu }, 'fq_codel').join())
      ?.slice(1);
  expect(target(100_000)).toEqual(['22500', '100000']);
  expect(target(10_000)).toEqual(['225000', '450000']);
  expect(target(125_000_000)).toEqual(['5000', '100000']);
});
