import { expect, test } from 'vitest';
import { createBatches, type Entry } from '../../../webhook/quota/batches.ts';

/** Work that ends when it is told to. */
function heldWork() {
  const batches: { key: string; items: readonly number[]; end: (error?: Error) => void }[] = [];
  const work = (key: string, entries: readonly Entry<number>[]) =>
    new Promise<readonly string[]>((resolve, reject) => {
      const items = entries.map(({ item }) => item);
      const end = (error?: Error) => (error ? reject(error) : resolve(items.map((item) => `${key}${item}`)));
      batches.push({ key, items, end });
    });
  return { batches, work };
}

/** Adds items with signals that nothing aborts, unless one is given. */
function adder(work: Parameters<typeof createBatches<number, string>>[0]) {
  const add = createBatches(work);
  return (key: string, item: number, signal = new AbortController().signal) => add(key, item, signal);
}

test('what comes while a batch runs is in the next one, and each gets its own answer', async () => {
  const { batches, work } = heldWork();
  const add = adder(work);
  const first = add('a', 1);
  const rest = [add('a', 2), add('a', 3)];
  expect(batches.map(({ items }) => items)).toEqual([[1]]);
  batches[0]?.end();
  expect(await first).toBe('a1');
  expect(batches.map(({ items }) => items)).toEqual([[1], [2, 3]]);
  batches[1]?.end();
  expect(await Promise.all(rest)).toEqual(['a2', 'a3']);
});

test('keys do not wait for each other', async () => {
  const { batches, work } = heldWork();
  const add = adder(work);
  void add('a', 1);
  const other = add('b', 2);
  batches[1]?.end();
  expect(await other).toBe('b2');
});

test('a batch that fails fails all that are in it, and no other', async () => {
  const { batches, work } = heldWork();
  const add = adder(work);
  const first = add('a', 1);
  const second = [add('a', 2), add('a', 3)];
  batches[0]?.end(new Error('away'));
  await expect(first).rejects.toThrow('away');
  batches[1]?.end(new Error('still away'));
  for (const each of second) await expect(each).rejects.toThrow('still away');
  const third = add('a', 4);
  batches[2]?.end();
  expect(await third).toBe('a4');
});

test('an item whose answer nobody waits for any more is in no batch, and there is none with nothing in it', async () => {
  const { batches, work } = heldWork();
  const add = adder(work);
  const gone = AbortSignal.abort(new Error('gone'));
  const late = new AbortController();
  const first = add('a', 1, late.signal);
  const rest = [add('a', 2, gone), add('a', 3)];
  late.abort();
  batches[0]?.end();
  expect(await first).toBe('a1');
  await expect(rest[0]).rejects.toThrow('gone');
  expect(batches.map(({ items }) => items)).toEqual([[1], [3]]);
  const last = add('a', 4, gone);
  batches[1]?.end();
  expect(await rest[1]).toBe('a3');
  await expect(last).rejects.toThrow('gone');
  expect(batches).toHaveLength(2);
  await expect(add('b', 5, gone)).rejects.toThrow('gone');
});
