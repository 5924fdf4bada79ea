import { expect, test } from 'vitest';
import { tendLedgers } from '../../../webhook/quota/tending.ts';

test('what is untended is tended at each turn, what others made is looked for less often, failures end nothing, and each tells whether pods are to be known at once', async () => {
  const stop = new AbortController();
  const done: string[] = [];
  const errors: unknown[] = [];
  const waits: number[] = [];
  const told: boolean[] = [];
  let now = 0;
  await tendLedgers({
    keeper: {
      untended: () => ['a', 'b'],
      async tend(namespace) {
        done.push(namespace);
        if (namespace === 'a') throw new Error('away');
      },
      needsPods: () => done.length < 6,
      async look() {
        done.push('look');
      },
    },
    demand: { tell: (isThere) => told.push(isThere) },
    clock: {
      nowMs: () => now,
      async sleep(ms) {
        waits.push(ms);
        now += ms;
        if (waits.length === 4) stop.abort();
      },
    },
    ...{ everyMs: 1_000, lookMs: 2_500, random: () => 0.5, signal: stop.signal },
    onError: (error) => errors.push(error),
  });
  expect(done).toEqual(['a', 'b', 'look', 'a', 'b', 'a', 'b', 'a', 'b', 'look']);
  expect(errors).toHaveLength(4);
  expect(told).toEqual([true, true, false, false]);
  expect(waits).toEqual([1_000, 1_000, 1_000, 1_000]);
});
