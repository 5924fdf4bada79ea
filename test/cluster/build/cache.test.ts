import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identifyProcess } from '../process/process.ts';
import { type Cache, cached, hashInputs, userCache, withLock } from './cache.ts';

let cache: Cache;

beforeEach(async () => {
  cache = { root: await mkdtemp(join(tmpdir(), 'podrate-cache-')), keep: 1 };
});

afterEach(() => rm(cache.root, { recursive: true }));

const put = (text: string) => (draft: string) => writeFile(join(draft, 'file'), text);

test('the cache is below XDG_CACHE_HOME, and below the home directory if that is empty or not set', () => {
  expect(userCache('/elsewhere').root).toBe('/elsewhere/podrate');
  expect(userCache(undefined).root).toMatch(/\/\.cache\/podrate$/);
  expect(userCache('').root).toMatch(/\/\.cache\/podrate$/);
});

test('the hash depends on every input and on where one ends and the next begins', () => {
  expect(hashInputs(['a', 'bc'])).not.toBe(hashInputs(['ab', 'c']));
  expect(hashInputs(['a'])).not.toBe(hashInputs(['a', '']));
  expect(hashInputs(['ä'])).toBe(hashInputs([Buffer.from('ä')]));
  expect(hashInputs(['a'])).toMatch(/^[0-9a-f]{16}$/);
});

test('the same inputs are built once', async () => {
  const first = await cached(cache, 'thing', ['1'], put('built'));
  const second = await cached(cache, 'thing', ['1'], () => Promise.reject(new Error('built again')));
  expect(first.built).toBe(true);
  expect(second).toEqual({ directory: first.directory, built: false });
  expect(await readFile(join(second.directory, 'file'), 'utf8')).toBe('built');
});

test('of several who want the same at the same time one builds and the others wait for it', async () => {
  let builds = 0;
  const build = async (draft: string) => {
    builds += 1;
    await new Promise((resolve) => setTimeout(resolve, 50));
    await put('built')(draft);
  };
  const results = await Promise.all([1, 2, 3].map(() => cached(cache, 'thing', ['1'], build)));
  expect(builds).toBe(1);
  expect(new Set(results.map(({ directory }) => directory)).size).toBe(1);
});

test('a build that fails leaves nothing, and can be tried again', async () => {
  const fail = async (draft: string) => {
    await put('half')(draft);
    throw new Error('no disk space');
  };
  await expect(cached(cache, 'thing', ['1'], fail)).rejects.toThrow('no disk space');
  expect(await readdir(cache.root)).toEqual([]);
  expect((await cached(cache, 'thing', ['1'], put('built'))).built).toBe(true);
});

test('the oldest entries of a name go when a new one comes, those of other names stay', async () => {
  const other = await cached(cache, 'thing-else', ['1'], put('other'));
  const paths: string[] = [];
  for (const [age, input] of [
    [300, 'a'],
    [200, 'b'],
    [100, 'c'],
  ] as const) {
    const { directory } = await cached(cache, 'thing', [input], put(input));
    const then = new Date(Date.now() - age * 1000);
    await utimes(directory, then, then);
    paths.push(directory);
  }
  const left = await readdir(cache.root);
  expect(left.map((name) => join(cache.root, name)).sort()).toEqual([...paths.slice(1), other.directory].sort());
});

test('a lock whose process has died is taken over', async () => {
  const dead = spawn('true');
  const identity = identifyProcess(dead.pid ?? 0);
  await once(dead, 'exit');
  const path = join(cache.root, 'lock');
  await writeFile(path, JSON.stringify(identity ?? { pid: dead.pid, startTime: 1 }));
  expect(await withLock(path, async () => 'mine')).toBe('mine');
  expect(await readdir(cache.root)).toEqual([]);
});

test('waiting for a lock ends with its signal', async () => {
  const path = join(cache.root, 'lock');
  await mkdir(cache.root, { recursive: true });
  const waiting = withLock(path, () => withLock(path, async () => 'never', AbortSignal.timeout(300)));
  await expect(waiting).rejects.toThrow('timeout');
});
