/** The ingress queue of what is limited by hand. */
import { stat } from 'node:fs/promises';
import type { Cgroup } from '../../nodeagent/cgroup/tree.ts';
import { foreignQueue } from '../../nodeagent/ingress-queue/controller.ts';
import { devicesInto, type HostDevice } from '../../nodeagent/ingress-queue/devices.ts';
import { manualHandle, type Queue } from '../../nodeagent/ingress-queue/htb.ts';
import { type RootQueue, settleQueues } from '../../nodeagent/ingress-queue/settle.ts';
import { networkNamespaces } from '../cgroup/namespaces.ts';
import { CommandError } from '../errors.ts';

/**
 * Whether there must be a queue, or must be none; undefined: one where the cgroup has a device of its own; `never`: the
 * cgroup is new and shares this network, so nothing needs to be looked for.
 */
export type QueueChoice = boolean | 'never' | undefined;

/** What became of the queue. */
export interface QueueResult {
  readonly queued: boolean;
  /** Why there is none though the cgroup has a device of its own, one sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Makes the queue of a cgroup agree with a limit, before the limit comes into force.
 * @param limit its rate is 0 where what the cgroup receives is not limited
 * @throws CommandError if there must be a queue and cannot be one; then there is none
 */
export async function settleQueue(
  cgroup: Cgroup,
  limit: Omit<Queue, 'mtu'>,
  choice: QueueChoice,
): Promise<QueueResult> {
  if (choice === 'never') return { queued: false, warnings: [] };
  const wants = choice !== false && limit.rate > 0;
  if (!wants) {
    await removeQueue(cgroup, limit);
    return { queued: false, warnings: [] };
  }
  const problem = await makeQueue(cgroup, limit);
  if (problem === undefined) return { queued: true, warnings: [] };
  await removeQueue(cgroup, limit);
  if (choice === true) {
    throw new CommandError('cli/no-queue', `${problem.reason}; or leave out --ingress-queue`, { cause: problem });
  }
  const warning = `What it receives is policed, not queued: ${problem.reason}.`;
  return { queued: false, warnings: problem.isExpected ? [] : [warning] };
}

/**
 * Removes the queue of a cgroup: on the devices of its processes, and wherever the classifier reads its slot.
 * @throws CommandError
 */
export async function removeQueue(cgroup: Cgroup, limit?: Pick<Queue, 'slot' | 'classifier'>): Promise<void> {
  const devices = await hostDevices(cgroup);
  const { failed } = settleQueues(scopeOf(devices, limit), new Map());
  for (const error of failed.values()) {
    throw new CommandError('cli/failed', `the queue stays: ${error.message}`, { cause: error });
  }
}

interface Problem {
  readonly reason: string;
  /** Whether the cgroup is not of the kind that has a queue. */
  readonly isExpected: boolean;
}

async function makeQueue(cgroup: Cgroup, limit: Omit<Queue, 'mtu'>): Promise<Problem | undefined> {
  const devices = await hostDevices(cgroup);
  if (devices.length === 0) return { reason: noDevice(cgroup), isExpected: true };
  const wanted = new Map(devices.map(({ index, mtu }) => [index, { ...limit, mtu }]));
  const { foreign, failed } = settleQueues(scopeOf(devices, limit), wanted);
  for (const { index, name } of devices) {
    const [other, error] = [foreign.get(index), failed.get(index)];
    if (other !== undefined) return { reason: foreignQueue(name, other), isExpected: false };
    if (error !== undefined) return { reason: `${name}: ${error.message}`, isExpected: false };
  }
  return undefined;
}

function noDevice({ path }: Cgroup): string {
  const advice = 'a queue needs processes with a network namespace and a veth of their own, as containers have';
  return `nothing in ${path} is behind a device of this network namespace: ${advice}`;
}

/** The queues on the devices, and wherever the classifier reads the slot. */
function scopeOf(devices: readonly HostDevice[], limit?: Pick<Queue, 'slot' | 'classifier'>) {
  const indexes = new Set(devices.map(({ index }) => index));
  const readsSlot = ({ filter }: RootQueue) =>
    limit !== undefined && filter?.programId === limit.classifier.id && filter.classId === manualHandle + limit.slot;
  return { handle: manualHandle, pick: (root: RootQueue) => indexes.has(root.index) || readsSlot(root) };
}

/** This namespace's ends of the devices of the cgroup's processes. */
async function hostDevices(cgroup: Cgroup): Promise<readonly HostDevice[]> {
  const own = await stat('/proc/self/ns/net', { bigint: true });
  const namespaces = (await networkNamespaces(cgroup.path)).filter(({ id }) => id !== own.ino);
  return namespaces.flatMap(({ file }) => devicesInto(file));
}
