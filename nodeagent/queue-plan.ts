/** Compares the queues that should be with those that are. */
import { type ClassRates, classRates, type Leaf, type Queue } from './queue.ts';
import type { RootQueue } from './queue-state.ts';

/** What is to be done on one device. */
export type QueueStep =
  | { readonly kind: 'install'; readonly device: string; readonly queue: Queue }
  | { readonly kind: 'change'; readonly device: string; readonly queue: Queue; readonly leaf: Leaf }
  | { readonly kind: 'remove'; readonly device: string };

/** What there is. */
export interface QueuesThere {
  readonly roots: ReadonlyMap<string, RootQueue>;
  /** Of the devices whose root queue is podrate's. */
  readonly rates: ReadonlyMap<string, ClassRates>;
}

/** What comes of the comparison. */
export interface QueuePlan {
  readonly steps: readonly QueueStep[];
  /** Devices that have a queue of somebody else's, which stays. */
  readonly foreign: ReadonlyMap<string, RootQueue>;
}

/**
 * Plans the steps. A queue is known by its handle, and one of another kind or handle than podrate's is never touched.
 * @param wanted the queues that should be, by device; those with podrate's handle on other devices go
 */
export function planQueues(
  handle: string,
  wanted: ReadonlyMap<string, Queue>,
  { roots, rates }: QueuesThere,
): QueuePlan {
  const steps: QueueStep[] = [];
  const foreign = new Map<string, RootQueue>();
  for (const [device, queue] of wanted) {
    const root = roots.get(device);
    if (root === undefined || isKernelsOwn(root)) steps.push({ kind: 'install', device, queue });
    else if (!isOurs(root, handle)) foreign.set(device, root);
    // A process that was killed halfway has left it.
    else if (root.leaf === undefined) steps.push({ kind: 'remove', device }, { kind: 'install', device, queue });
    else if (!sameRates(rates.get(device), classRates(queue))) {
      steps.push({ kind: 'change', device, queue, leaf: root.leaf });
    }
  }
  for (const root of roots.values()) {
    if (isOurs(root, handle) && !wanted.has(root.device)) steps.push({ kind: 'remove', device: root.device });
  }
  return { steps, foreign };
}

/** Whether a root queue is one that podrate made under a handle. */
export function isOurs({ kind, handle }: RootQueue, ours: string): boolean {
  return kind === 'htb' && handle === ours;
}

/** Whether nobody put the queue there: `noqueue`, or the kernel's default, neither of which has a handle. */
function isKernelsOwn({ handle }: RootQueue): boolean {
  return handle === '0:';
}

function sameRates(there: ClassRates | undefined, wanted: ClassRates): boolean {
  return Object.entries(wanted).every(([minor, { rate, ceil }]) => {
    const found = there?.[minor];
    return found?.rate === rate && found.ceil === ceil;
  });
}
