import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ChangeStore, StoredChanges } from '../../../webhook/policy-memory/change-store.ts';
import { createPolicyMemory, type PolicyMemory } from '../../../webhook/policy-memory/memory.ts';

const limits = { leaseMs: 500, effectMs: 90_000, keepMs: 10_000, most: 100, patienceMs: 60_000 };
const horizonMs = 300_000;

/** A time that goes on when all is quiet, to whatever comes next. */
function simulateTime() {
  const timers: { at: number; resolve: () => void }[] = [];
  let now = 0;
  return {
    now: () => now,
    sleep: (ms: number) => new Promise<void>((resolve) => timers.push({ at: now + ms, resolve })),
    async run() {
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        timers.sort((one, other) => one.at - other.at);
        const next = timers.shift();
        if (next === undefined) return;
        now = next.at;
        next.resolve();
      }
    },
  };
}

const replica = fc.nat({ max: 1 });
const calls = fc.oneof({ weight: 4, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(700) });
const plays = fc.record({
  /** How fast each replica's clock goes, and how long its calls take. */
  rates: fc.tuple(...[0, 1].map(() => fc.double({ min: 0.96, max: 1.04, noNaN: true }))),
  delays: fc.infiniteStream(calls),
  /** Bursts of admissions. */
  bursts: fc.array(
    fc.record({ at: fc.nat(horizonMs), replica, count: fc.integer({ min: 1, max: 40 }), everyMs: fc.nat(200) }),
    { minLength: 3, maxLength: 10 },
  ),
  /** Changes of the policy: who admits each, and how long after that it is stored. */
  changes: fc.array(
    fc.record({ at: fc.nat(horizonMs), replica, storedMs: fc.oneof(fc.nat(5), fc.nat(2_000), fc.nat(60_000)) }),
    { minLength: 1, maxLength: 6 },
  ),
  restarts: fc.array(fc.record({ at: fc.nat(horizonMs), replica }), { maxLength: 2 }),
});
type Play = typeof plays extends fc.Arbitrary<infer T> ? T : never;

/** @returns how often something was remembered, and the admissions that did not see what was stored before them */
async function play({ rates, delays, bursts, changes, restarts }: Play) {
  const { now, sleep, run } = simulateTime();
  const delay = () => sleep(delays.next().value ?? 0);
  let version = 0;
  let stored: StoredChanges | undefined;
  let remembered = 0;
  const stale: string[] = [];

  const store: ChangeStore = {
    async read() {
      await delay();
      const found = stored;
      await delay();
      return found;
    },
    async write(changes, before) {
      await delay();
      const isCurrent = before?.resourceVersion === stored?.resourceVersion;
      const resourceVersion = String(Number(stored?.resourceVersion ?? 0) + 1);
      if (isCurrent) stored = { changes, uid: 'u', resourceVersion };
      await delay();
      return isCurrent;
    },
  };
  const start = (index: number): PolicyMemory => {
    const rate = rates[index] ?? 1;
    return createPolicyMemory({
      ...{ store, limits },
      clock: { nowMs: () => now() * rate, sleep: (ms) => sleep(ms / rate) },
      async read() {
        await delay();
        const labels = { version: String(version) };
        await delay();
        return { labels, isEnding: false };
      },
      onRead: (from) => {
        if (from === 'memory') remembered += 1;
      },
      onError: (error) => {
        throw error;
      },
    });
  };
  const replicas = [start(0), start(1)];
  const at = (index: number) => replicas[index] as PolicyMemory;

  const admit = async (index: number) => {
    const wanted = version;
    const labels = await at(index).read('shop');
    if (Number(labels?.version) < wanted) stale.push(`${now()}: ${labels?.version} instead of ${wanted}`);
  };
  // Bursts come when something is remembered, and around the changes.
  for (const burst of [...bursts, ...changes.map((change) => ({ ...change, count: 40, everyMs: 50 }))]) {
    void sleep(burst.at).then(async () => {
      for (let count = 0; count < burst.count; count += 1) {
        void admit(burst.replica);
        void admit(1 - burst.replica);
        await sleep(burst.everyMs);
      }
    });
  }
  for (const change of changes) {
    void sleep(change.at + 500).then(async () => {
      await at(change.replica).announce('shop');
      await sleep(change.storedMs);
      version += 1;
      for (let count = 0; count < 20; count += 1) {
        await Promise.all([admit(0), admit(1)]);
        await sleep(10);
      }
    });
  }
  for (const restart of restarts) {
    void sleep(restart.at).then(() => {
      replicas[restart.replica] = start(restart.replica);
    });
  }
  await run();
  return { remembered, stale };
}

test('whatever two replicas remember, each admission sees the policy that was stored before it, and most need not ask', async () => {
  let remembered = 0;
  await fc.assert(
    fc.asyncProperty(plays, async (one) => {
      const result = await play(one);
      remembered += result.remembered;
      expect(result.stale).toEqual([]);
    }),
    { numRuns: 150 },
  );
  expect(remembered).toBeGreaterThan(1_000);
}, 60_000);
