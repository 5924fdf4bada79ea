import { expect, test } from 'vitest';
import { startLoop } from '../../../nodeagent/reconcile/loop.ts';
import { createFakeClock, settle } from '../fake-clock.ts';

type Outcome = { ok: boolean; againInMs?: number };

function setUp(outcomes: Outcome[] = []) {
  const clock = createFakeClock();
  const passes: boolean[] = [];
  const ends: (() => void)[] = [];
  let held = false;
  const loop = startLoop({
    pass: async (full) => {
      passes.push(full);
      if (held) await new Promise<void>((resolve) => ends.push(resolve));
      return outcomes.shift() ?? { ok: true };
    },
    resyncMs: 60_000,
    backOffMs: { first: 1000, longest: 8000 },
    clock,
  });
  const hold = (on: boolean) => {
    held = on;
  };
  return { clock, passes, ends, loop, hold };
}

test('nothing runs before the first kick', async () => {
  const { clock, passes } = setUp();
  await clock.advance(600_000);
  expect(passes).toEqual([]);
});

test('the first pass is a thorough one, the next kick makes a quick one', async () => {
  const { loop, passes } = setUp();
  loop.kick();
  await settle();
  loop.kick();
  await settle();
  expect(passes).toEqual([true, false]);
});

test('any number of kicks during a pass make exactly one more', async () => {
  const { loop, passes, ends, hold } = setUp();
  hold(true);
  loop.kick();
  await settle();
  for (let kick = 0; kick < 10; kick += 1) loop.kick();
  hold(false);
  ends[0]?.();
  await settle();
  expect(passes).toHaveLength(2);
});

test('a kick at the moment when a pass ends is not lost', async () => {
  const { loop, passes, ends, hold } = setUp();
  for (let ticks = 0; ticks < 10; ticks += 1) {
    const before = passes.length;
    hold(true);
    loop.kick();
    await settle();
    hold(false);
    ends.shift()?.();
    for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
    loop.kick();
    await settle();
    expect(passes.length).toBe(before + 2);
  }
});

test('the resync timer makes thorough passes, a little later than the interval', async () => {
  const { loop, passes, clock } = setUp();
  loop.kick();
  await settle();
  await clock.advance(59_999);
  expect(passes).toEqual([true]);
  await clock.advance(15_001);
  expect(passes).toEqual([true, true]);
});

test('a failure is tried again after waits that double up to the longest', async () => {
  const { loop, passes, clock } = setUp(Array.from({ length: 6 }, () => ({ ok: false })));
  loop.kick();
  await settle();
  // The fake clock's random number is 0.5, so each wait is three quarters of its bound.
  for (const wait of [750, 1500, 3000, 6000, 6000, 6000]) {
    const before = passes.length;
    await clock.advance(wait - 1);
    expect(passes.length).toBe(before);
    await clock.advance(1);
    expect(passes.length).toBe(before + 1);
  }
  await clock.advance(20_000);
  expect(passes.length).toBe(7);
});

test('a pass that throws is a failure, and the loop lives on', async () => {
  const clock = createFakeClock();
  let passes = 0;
  const loop = startLoop({
    pass: async () => {
      passes += 1;
      throw new Error('nothing can be observed');
    },
    resyncMs: 60_000,
    backOffMs: { first: 1000, longest: 1000 },
    clock,
  });
  loop.kick();
  await settle();
  await clock.advance(1000);
  expect(passes).toBe(2);
});

test('a pass that asks for another look gets it in time', async () => {
  const { loop, passes, clock } = setUp([{ ok: true, againInMs: 500 }]);
  loop.kick();
  await settle();
  await clock.advance(499);
  expect(passes).toHaveLength(1);
  await clock.advance(1);
  expect(passes).toEqual([true, false]);
});

test('stop waits for the pass that runs and starts no other', async () => {
  const { loop, passes, ends, hold, clock } = setUp();
  hold(true);
  loop.kick();
  await settle();
  loop.kick();
  let stopped = false;
  const stopping = loop.stop().then(() => {
    stopped = true;
  });
  await settle();
  expect(stopped).toBe(false);
  ends[0]?.();
  await stopping;
  loop.kick();
  await clock.advance(600_000);
  expect(passes).toHaveLength(1);
});
