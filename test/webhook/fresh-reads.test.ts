import { expect, test } from 'vitest';
import { freshReads } from '../../webhook/fresh-reads.ts';

/** Reads that end when they are told to; each gives the number of its start. */
function controlled() {
  const started: { key: string; end: (error?: Error) => void }[] = [];
  const read = freshReads(
    (key) =>
      new Promise<number>((resolve, reject) => {
        const number = started.length;
        started.push({ key, end: (error) => (error === undefined ? resolve(number) : reject(error)) });
      }),
  );
  return { started, read };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('whoever asks during a read gets the next one, together, and never the one that began before', async () => {
  const { started, read } = controlled();
  const first = read('a');
  const others = [read('a'), read('a'), read('a')];
  await settled();
  expect(started).toHaveLength(1);
  started[0]?.end();
  expect(await first).toBe(0);
  await settled();
  expect(started).toHaveLength(2);
  const later = read('a');
  started[1]?.end();
  expect(await Promise.all(others)).toEqual([1, 1, 1]);
  await settled();
  started[2]?.end();
  expect(await later).toBe(2);
});

test('keys do not wait for each other', () => {
  const { started, read } = controlled();
  void read('a');
  void read('b');
  expect(started.map(({ key }) => key)).toEqual(['a', 'b']);
});

test('a failed read fails those who asked for it, and the next one is made anyway', async () => {
  const { started, read } = controlled();
  const first = read('a');
  const second = read('a');
  started[0]?.end(new Error('away'));
  await expect(first).rejects.toThrow('away');
  await settled();
  started[1]?.end();
  expect(await second).toBe(1);
  void read('a');
  expect(started).toHaveLength(3);
});
