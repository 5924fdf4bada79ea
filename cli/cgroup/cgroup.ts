import { readFile, realpath, statfs } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type Cgroup, inode } from '../../nodeagent/cgroup/tree.ts';
import { CommandError } from '../errors.ts';
import { cgroupOfContainer } from './container.ts';

const cgroup2Magic = 0x63677270n;

/** The ways to name a cgroup. */
export interface CgroupOptions {
  /** Its directory. */
  readonly cgroup?: string | undefined;
  /** A process in it. */
  readonly pid?: string | undefined;
  /** The id of the container that it belongs to, or the beginning of the id. */
  readonly container?: string | undefined;
}

/**
 * Finds the cgroup that a user named.
 * @param mount where the cgroup2 tree begins
 * @throws CommandError if there is none, or if it is the whole machine's
 */
export async function namedCgroup(options: CgroupOptions, mount: string): Promise<Cgroup> {
  const { pid } = options;
  const path = await pathOf(options, mount);
  const real = await realpath(path).catch(() => undefined);
  const id = real === undefined ? undefined : await inode(real);
  if (real === undefined || id === undefined) {
    throw new CommandError('cli/no-cgroup', `${path} does not exist: create the cgroup with mkdir, below ${mount}`);
  }
  const { type } = await statfs(real, { bigint: true });
  if (type !== cgroup2Magic || relative(mount, real).startsWith('..')) {
    throw new CommandError('cli/no-cgroup', `${path} is not a directory of cgroup v2: name one below ${mount}`);
  }
  if (pid !== undefined && relative(mount, real) === '') {
    const advice = 'start it with podrate run, or move it to a cgroup of its own';
    throw new CommandError('cli/no-cgroup', `process ${pid} is in the root cgroup, with all the machine: ${advice}`);
  }
  return { id, path: real };
}

async function pathOf({ cgroup, pid, container }: CgroupOptions, mount: string): Promise<string> {
  if ([cgroup, pid, container].filter((name) => name !== undefined).length === 1) {
    if (cgroup !== undefined) return cgroup;
    if (pid !== undefined) return join(mount, await cgroupOfProcess(pid));
    if (container !== undefined) return cgroupOfContainer(container, mount);
  }
  throw new CommandError('cli/usage', 'name the cgroup with one of --cgroup DIR, --pid N and --container ID');
}

/**
 * The cgroup of a process in the cgroup2 hierarchy, from its root: the line of /proc/PID/cgroup that begins with `0::` (cgroups(7)).
 * @throws CommandError
 */
export async function cgroupOfProcess(pid: string): Promise<string> {
  if (!/^[1-9]\d*$/.test(pid)) throw new CommandError('cli/usage', `--pid ${pid} is not the number of a process`);
  const text = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => {
    throw new CommandError('cli/no-cgroup', `there is no process ${pid}`);
  });
  return /^0::(.*)$/m.exec(text)?.[1] ?? '/';
}
