/** Brings connections of a cgroup's processes under pacing that are older than its limit. */
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { looksAfterMs } from '../nodeagent/adoptions.ts';
import { directories } from '../nodeagent/cgroups.ts';
import { isLinuxBefore } from '../nodeagent/linux-version.ts';
import { type NetworkNamespace, namespacesOfProcesses } from '../nodeagent/network-namespaces.ts';
import type { Node } from '../nodeagent/node.ts';
import type { Change } from './change.ts';

/** Waits for a time in ms. */
export type Wait = (ms: number) => Promise<unknown>;

/**
 * Looks for the connections that the change of a limit concerns, and adopts them: after the first limit those that are older;
 * after a change those with a fixed rate, which only kernels before Linux 6.12 need.
 * @returns the change, with a warning where the kernel cannot do it
 */
export async function adoptOlder({ shaper }: Node, change: Change, wait: Wait): Promise<Change> {
  const { cgroup, before, warnings } = change;
  const isNew = before === undefined;
  if (!isNew && !isLinuxBefore(release(), 6, 12)) return change;
  const namespaces = (await networkNamespaces(cgroup.path)).map(({ file }) => file);
  if (namespaces.length === 0) return change;
  let waitedMs = 0;
  for (const afterMs of isNew ? looksAfterMs : looksAfterMs.slice(0, 1)) {
    await wait(afterMs - waitedMs);
    waitedMs = afterMs;
    if ((await shaper.adopt(namespaces)) !== undefined) continue;
    const warning =
      'Connections that are older than the limit are held by dropping until they close (it takes Linux 5.15).';
    return { ...change, warnings: [...warnings, warning] };
  }
  return change;
}

/** The network namespaces of the processes in a cgroup and below it. Those of processes that end meanwhile are left out. */
export async function networkNamespaces(path: string): Promise<NetworkNamespace[]> {
  const found: string[] = [];
  const visit = async (directory: string): Promise<void> => {
    const pids = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
    found.push(...pids.split('\n').filter(Boolean));
    for (const name of (await directories(directory)) ?? []) await visit(join(directory, name));
  };
  await visit(path);
  return namespacesOfProcesses(found);
}
