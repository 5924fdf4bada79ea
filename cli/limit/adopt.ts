/** Brings connections of a cgroup's processes under pacing that are older than its limit. */
import { release } from 'node:os';
import { adoptConnections } from '../../nodeagent/adoption/iterator.ts';
import { looksAfterMs } from '../../nodeagent/adoption/scheduler.ts';
import { isLinuxBefore } from '../../nodeagent/base/linux-version.ts';
import type { Node } from '../../nodeagent/open-node.ts';
import { networkNamespaces } from '../cgroup/namespaces.ts';
import type { Change } from './change.ts';

/** Waits for a time in ms. */
export type Wait = (ms: number) => Promise<unknown>;

/**
 * Looks for the connections that the change of a limit concerns, and adopts them: after the first limit those that are older;
 * after a change those with a fixed rate, which only kernels before Linux 6.12 need.
 * @returns the change, with a warning where the kernel cannot do it
 */
export async function adoptOlder({ shaper, canEnterNamespaces }: Node, change: Change, wait: Wait): Promise<Change> {
  const { cgroup, before, warnings } = change;
  const isNew = before === undefined;
  if (!isNew && !isLinuxBefore(release(), 6, 12)) return change;
  const namespaces = (await networkNamespaces(cgroup.path)).map(({ file }) => file);
  if (namespaces.length === 0) return change;
  let waitedMs = 0;
  for (const afterMs of isNew ? looksAfterMs : looksAfterMs.slice(0, 1)) {
    await wait(afterMs - waitedMs);
    waitedMs = afterMs;
    const adopter = shaper.adopter();
    if (canEnterNamespaces && adopter !== undefined) {
      adoptConnections(adopter, namespaces);
      continue;
    }
    const reason = canEnterNamespaces ? 'it takes Linux 5.15' : 'it takes CAP_SYS_ADMIN';
    const warning = `Connections that are older than the limit are held by dropping until they close (${reason}).`;
    return { ...change, warnings: [...warnings, warning] };
  }
  return change;
}
