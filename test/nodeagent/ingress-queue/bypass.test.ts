import { expect, test } from 'vitest';
import { createBypasses } from '../../../nodeagent/ingress-queue/bypass.ts';
import { configOfLimit } from '../../../nodeagent/pods/slot-config.ts';
import type { SlotState } from '../../../nodeagent/shaper/steps.ts';
import { parseRate } from '../../../rate/rate.ts';

const second = 1_000_000_000n;
const slot = (number: number): SlotState => ({
  slot: number,
  cgroupId: BigInt(number),
  owner: `pod/${number}`,
  config: configOfLimit({ ingress: parseRate('1M') }, 0, true),
  isAlive: true,
  isMapped: true,
  attached: new Map(),
});

/** A search over one slot, whose times and clock the test sets. */
function scene() {
  const state = { now: 100n * second, chargedNs: 0n, queuedNs: 0n };
  const bypasses = createBypasses({
    receiveTimes: async (slots) => slots.map(() => ({ chargedNs: state.chargedNs, queuedNs: state.queuedNs })),
    monotonicNs: () => state.now,
  });
  const find = async () => [...(await bypasses.find([slot(1)]))];
  return { state, find };
}

test('a pod whose packets its queue has seen is not bypassed', async () => {
  const { state, find } = scene();
  await find();
  Object.assign(state, { now: 200n * second, chargedNs: 199n * second, queuedNs: 198n * second });
  expect(await find()).toEqual([]);
});

test('a pod that receives past its queue is bypassed until the queue sees packets again', async () => {
  const { state, find } = scene();
  await find();
  Object.assign(state, { now: 200n * second, chargedNs: 199n * second, queuedNs: 120n * second });
  expect(await find()).toEqual(['pod/1']);
  Object.assign(state, { now: 260n * second, chargedNs: 259n * second, queuedNs: 259n * second });
  expect(await find()).toEqual([]);
});

test('packets from before the queue was known prove nothing', async () => {
  const { state, find } = scene();
  state.chargedNs = 99n * second;
  expect(await find()).toEqual([]);
  state.now = 200n * second;
  expect(await find()).toEqual([]);
});

test('a pod that receives nothing is not bypassed', async () => {
  const { state, find } = scene();
  await find();
  state.now = 900n * second;
  expect(await find()).toEqual([]);
});
