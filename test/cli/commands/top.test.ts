import { describe, expect, test } from 'vitest';
import { flowsBetween, formatFlows, readInterval } from '../../../cli/commands/top.ts';
import type { Limited } from '../../../cli/limit/listed.ts';

const count = (packets: number, bytes = 0) => ({ packets, bytes });
const entry = (sent: number, dropped: number, slot = 1): Limited => {
  const quiet = { passed: count(0), delayed: count(0), dropped: count(0), marked: count(0) };
  return {
    ...{
      owner: `manual/${slot}`,
      cgroup: `/sys/fs/cgroup/${slot}`,
      slot,
      ingressQueue: false,
      generation: '0123456789ab',
      inForce: true,
    },
    ...{ egressBytesPerSecond: 1_000_000, ingressBytesPerSecond: null },
    counters: { egress: { ...quiet, passed: count(1, sent), dropped: count(dropped) }, ingress: quiet },
  };
};

describe('flows', () => {
  test('are what was counted between two looks, per second', () => {
    const [flow] = flowsBetween([entry(1_000_000, 5)], [entry(2_800_000, 9)], 2);
    expect(flow?.egress).toEqual({
      limitBytesPerSecond: 1_000_000,
      bytesPerSecond: 900_000,
      delayedPacketsPerSecond: 0,
      droppedPacketsPerSecond: 2,
    });
  });

  test('of what was limited in between count from zero', () => {
    expect(flowsBetween([entry(9, 9, 2)], [entry(500_000, 0)], 1)[0]?.egress.bytesPerSecond).toBe(500_000);
  });

  test('are shown busiest first, with the part of the limit that they use', () => {
    const flows = flowsBetween([], [entry(250_000, 0, 1), entry(990_000, 3, 2)], 1);
    const [, first, second] = formatFlows(flows).split('\n');
    expect(first).toMatch(/^0\.990 +1\.000 +99% +0 +3 +0\.000 +- +- +0 +0 +\/sys\/fs\/cgroup\/2$/);
    expect(second).toMatch(/25%.*\/sys\/fs\/cgroup\/1$/);
  });
});

test.each(['0', '-1', 'x', '3601', ''])('an interval of %j is refused', (text) => {
  expect(() => readInterval(text)).toThrow('is not a number of seconds from 0.1 to 3600');
});
