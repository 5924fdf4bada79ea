/** One cgroup. */
import { statSync } from 'node:fs';

/** A cgroup that exists. */
export interface Cgroup {
  /** Inode number of the directory, which is the kernel's cgroup id. */
  readonly id: bigint;
  /** Absolute path of the directory. */
  readonly path: string;
}

/** The id of the cgroup that is a directory, or undefined if there is none. */
export function inode(path: string): bigint | undefined {
  try {
    const found = statSync(path, { bigint: true });
    return found.isDirectory() ? found.ino : undefined;
  } catch {
    return undefined;
  }
}
