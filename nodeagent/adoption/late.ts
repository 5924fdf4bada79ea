/** Tells cgroups apart whose processes may have connections from those that a pod's containers have not entered yet. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { directories, isPopulated } from '../cgroup/tree.ts';

/** A pod's sandbox is some seconds older than its first container, and opens no connections. */
const youngMs = 5000;

/**
 * Whether something in the cgroup may be older than its limit: processes directly in it, those of two or more of its children
 * (a sandbox and a container), or of one that is older than 5 s. False for a pod that is just starting.
 * @param now wall clock, in ms since the epoch
 */
export async function mayHaveConnections(path: string, now: number): Promise<boolean> {
  try {
    if ((await readFile(join(path, 'cgroup.procs'), 'utf8')) !== '') return true;
    let populated = 0;
    for (const name of (await directories(path)) ?? []) {
      const child = join(path, name);
      if (!(await isPopulated(child))) continue;
      populated += 1;
      if (populated > 1 || now - (await stat(child)).ctimeMs > youngMs) return true;
    }
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV') return false;
    throw error;
  }
}
