/** Compares the queues that should be with those that are. */
import { filterClassId, leavesOf, type Queue } from './htb.ts';
import type { QueueFilter, RootQueue } from './state.ts';

/** What to do on one device. */
export type QueueStep =
  | { readonly kind: 'install' | 'change'; readonly device: string; readonly queue: Queue }
  | { readonly kind: 'remove'; readonly device: string };

/** What is on the devices. */
export interface QueuesThere {
  readonly roots: ReadonlyMap<string, RootQueue>;
  /** Of the devices whose root queueing discipline is podrate's. */
  readonly filters: ReadonlyMap<string, QueueFilter>;
}

/** The result of the comparison. */
export interface QueuePlan {
  readonly steps: readonly QueueStep[];
  /** Root queueing disciplines that another program has installed. They stay. */
  readonly foreign: ReadonlyMap<string, RootQueue>;
}

/**
 * Plans the steps. A queue is recognised by its handle. A root queueing discipline of another kind or handle is never
 * touched.
 * @param wanted queues by device; podrate's on all other devices are removed
 */
export function planQueues(
  handle: string,
  wanted: ReadonlyMap<string, Queue>,
  { roots, filters }: QueuesThere,
): QueuePlan {
  const steps: QueueStep[] = [];
  const foreign = new Map<string, RootQueue>();
  for (const [device, queue] of wanted) {
    const root = roots.get(device);
    if (root === undefined || isKernelsOwn(root)) steps.push({ kind: 'install', device, queue });
    else if (!isOurs(root, handle)) foreign.set(device, root);
    // A process that was killed halfway, or an earlier version, has left it.
    else if (!hasLeaves(root, handle, queue))
      steps.push({ kind: 'remove', device }, { kind: 'install', device, queue });
    else if (!isAsWanted(root, filters.get(device), handle, queue)) {
      steps.push({ kind: 'change', device, queue });
    }
  }
  for (const root of roots.values()) {
    if (isOurs(root, handle) && !wanted.has(root.device)) steps.push({ kind: 'remove', device: root.device });
  }
  return { steps, foreign };
}

/** Reports whether podrate has made a root queueing discipline under a handle. */
export function isOurs({ kind, handle }: RootQueue, ours: string): boolean {
  return kind === 'htb' && handle === ours;
}

/** Whether the kernel has chosen the queueing discipline: `noqueue` or its default, neither of which has a handle. */
function isKernelsOwn({ handle }: RootQueue): boolean {
  return handle === '0:';
}

function hasLeaves({ leaves }: RootQueue, handle: string, queue: Queue): boolean {
  return leavesOf(handle, queue).every(({ parent, handle: own }) => leaves.get(parent)?.handle === own);
}

function isAsWanted({ leaves }: RootQueue, filter: QueueFilter | undefined, handle: string, queue: Queue): boolean {
  // The limits tell the rate of the classes: see changeCommands.
  const sameRate = leavesOf(handle, queue).every(({ parent, limit }) => leaves.get(parent)?.limit === limit);
  return sameRate && filter?.programId === queue.classifier.id && filter.classId === filterClassId(handle, queue.slot);
}
