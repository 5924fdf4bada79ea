import { realpath, statfs } from 'node:fs/promises';
import { relative } from 'node:path';
import { inode } from '../nodeagent/cgroups.ts';
import type { Cgroup } from '../nodeagent/state.ts';
import { CommandError } from './errors.ts';

const cgroup2Magic = 0x63677270n;

/**
 * Finds the cgroup that a user named.
 * @param mount where the cgroup2 tree begins
 * @throws CommandError if the path is no directory of that tree
 */
export async function namedCgroup(path: string | undefined, mount: string): Promise<Cgroup> {
  if (path === undefined) throw new CommandError('cli/usage', 'name the cgroup with --cgroup DIR');
  const real = await realpath(path).catch(() => undefined);
  const id = real === undefined ? undefined : await inode(real);
  if (real === undefined || id === undefined) {
    throw new CommandError('cli/no-cgroup', `${path} does not exist: create the cgroup with mkdir, below ${mount}`);
  }
  const { type } = await statfs(real, { bigint: true });
  if (type !== cgroup2Magic || relative(mount, real).startsWith('..')) {
    throw new CommandError('cli/no-cgroup', `${path} is not a directory of cgroup v2: name one below ${mount}`);
  }
  return { id, path: real };
}
