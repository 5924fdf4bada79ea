import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identifyProcess, isRunning } from '../process/process.ts';

/** Where things that are costly to build are kept, outside of the clone. */
export interface Cache {
  root: string;
  /** Entries of one name that are kept beside the newest; two clones at different commits then do not fight. */
  keep: number;
}

/** The cache in the user's cache directory (XDG Base Directory Specification). */
export function userCache(xdgCacheHome: string | undefined): Cache {
  return { root: join(xdgCacheHome || join(homedir(), '.cache'), 'podrate'), keep: 1 };
}

/** The first 16 hex digits of the SHA-256 of the inputs, each of which counts with its length. */
export function hashInputs(inputs: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:`).update(input);
  return hash.digest('hex').slice(0, 16);
}

/** The source text of a module: what builds an entry is one of the entry's inputs. */
export async function sourceOf(moduleUrl: string): Promise<string> {
  return readFile(new URL(moduleUrl), 'utf8');
}

/**
 * Returns the directory `<name>-<hash of inputs>`, built by `build` in a private directory if it is not there yet and then
 * published by rename: it is there completely or not at all. Of two processes that want the same one, the second waits.
 */
export async function cached(
  cache: Cache,
  name: string,
  inputs: readonly (string | Uint8Array)[],
  build: (directory: string) => Promise<void>,
  signal?: AbortSignal,
): Promise<{ directory: string; built: boolean }> {
  const directory = join(cache.root, `${name}-${hashInputs(inputs)}`);
  if (await exists(directory)) {
    await utimes(directory, new Date(), new Date());
    return { directory, built: false };
  }
  await mkdir(cache.root, { recursive: true });
  const publish = async () => {
    if (await exists(directory)) return { directory, built: false };
    const draft = `${directory}.draft-${randomBytes(4).toString('hex')}`;
    await mkdir(draft);
    try {
      await build(draft);
      await rename(draft, directory);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      throw error;
    }
    await prune(cache, name, directory);
    return { directory, built: true };
  };
  return withLock(`${directory}.lock`, publish, signal);
}

/** Does something while no other process holds the lock, which is a file that names its holder. */
export async function withLock<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const unlock = await lock(path, signal);
  try {
    return await work();
  } finally {
    await unlock();
  }
}

// A lock file that names its process: one whose process has died is taken over.
async function lock(path: string, signal: AbortSignal | undefined): Promise<() => Promise<void>> {
  const self = JSON.stringify(identifyProcess(process.pid));
  for (;;) {
    signal?.throwIfAborted();
    try {
      await writeFile(path, self, { flag: 'wx' });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (await isAbandoned(path)) await rm(path, { force: true });
    else await sleep(200);
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    const owner = await readFile(path, 'utf8');
    // Empty: its owner writes it this very moment, or was killed between the two.
    if (owner === '') return Date.now() - (await stat(path)).mtimeMs > 5000;
    return !isRunning(JSON.parse(owner));
  } catch {
    return false;
  }
}

// Removes older entries of the same name, and what a killed build left of it.
async function prune({ root, keep }: Cache, name: string, newest: string): Promise<void> {
  const entry = new RegExp(`^${name}-[0-9a-f]{16}(\\.draft-[0-9a-f]{8})?$`);
  const others: { path: string; draft: boolean; age: number }[] = [];
  for (const file of await readdir(root)) {
    const match = entry.exec(file);
    const path = join(root, file);
    if (match === null || path === newest) continue;
    others.push({ path, draft: match[1] !== undefined, age: Date.now() - (await stat(path)).mtimeMs });
  }
  others.sort((a, b) => a.age - b.age);
  const anHour = 3_600_000;
  const old = others.filter(({ draft }) => !draft).slice(keep);
  const left = others.filter(({ draft, age }) => draft && age > anHour);
  for (const { path } of [...old, ...left]) await rm(path, { recursive: true, force: true });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
