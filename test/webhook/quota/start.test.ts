import { expect, test } from 'vitest';
import { tendLedgers } from '../../../webhook/quota/start.ts';

test('untended ledgers are tended each second, those of other replicas are listed less often, and failures end nothing', async () => {
  const stop = new AbortController();
  const done: string[] = [];
  const errors: unknown[] = [];
  const waits: number[] = [];
  let now = 0;
  await tendLedgers({
    keeper: {
      untended: () => ['a', 'b'],
      async tend(namespace) {
        done.push(namespace);
        if (namespace === 'a') throw new Error('away');
      },
      async refresh() {
        done.push('refresh');
      },
    },
    clock: {
      nowMs: () => now,
      async sleep(ms) {
        waits.push(ms);
        now += ms;
        if (waits.length === 31) stop.abort();
      },
    },
    ...{ random: () => 0.5, signal: stop.signal },
    onError: (error) => errors.push(error),
  });
  expect(done.filter((each) => each === 'b')).toHaveLength(31);
  expect(done.filter((each) => each === 'refresh')).toHaveLength(2);
  expect(errors).toHaveLength(31);
  expect(new Set(waits)).toEqual(new Set([1_000]));
});
