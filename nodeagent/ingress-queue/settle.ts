/** Makes the queues of a network namespace those that should be there. */
import { errorOf } from '../base/errors.ts';
import { type Netlink, NetlinkError, withNetlink } from '../net/netlink.ts';
import { type Filter, listFilters, listQdiscs, type Qdisc, root } from '../net/tc.ts';
import { isFilterOf, manualHandle, podHandle, putQueue, type Queue, removeQueue } from './htb.ts';
import { explainQueueError } from './support.ts';

/** The root queueing discipline of a device, with the filter of podrate's if it is one of podrate's. */
export interface RootQueue extends Qdisc {
  readonly filter?: Filter | undefined;
}

/** The result of settling the queues. Devices are told by their indexes. */
export interface QueueOutcome {
  /** Root queueing disciplines that another program has installed. They stay. */
  readonly foreign: ReadonlyMap<number, RootQueue>;
  readonly put: readonly number[];
  readonly removed: readonly number[];
  /** Why a device does not have the queue that it should have. */
  readonly failed: ReadonlyMap<number, Error>;
}

/** Where queues are, and which. */
export interface QueueScope {
  /** The file of the network namespace; undefined: this process's own. */
  readonly namespace?: string | undefined;
  /** A queue is recognised by its handle. A root queueing discipline of another kind or handle is never touched. */
  readonly handle: number;
  /** Picks devices by what is on them; all others stay as they are. */
  readonly pick?: (root: RootQueue) => boolean;
}

/**
 * Makes the queues of a scope be these and no others.
 * @param wanted queues by the indexes of their devices
 * @throws NetlinkError, BpfError if they cannot be read
 */
export function settleQueues(
  { namespace, handle, pick = () => true }: QueueScope,
  wanted: ReadonlyMap<number, Queue>,
): QueueOutcome {
  const foreign = new Map<number, RootQueue>();
  const failed = new Map<number, Error>();
  const [put, removed]: [number[], number[]] = [[], []];
  const attempt = (index: number, done: number[], change: () => void) => {
    const error = errorOf(change);
    const isGone = error instanceof NetlinkError && error.errno === 'ENODEV';
    if (error === undefined) done.push(index);
    // A device that vanished meanwhile took its queue along.
    else if (!isGone) failed.set(index, explainQueueError(error));
  };
  withNetlink(namespace, (netlink) => {
    const roots = new Map(rootQueues(netlink, handle).map((one) => [one.index, one]));
    for (const [index, queue] of wanted) {
      const there = roots.get(index);
      // The kernel has chosen what has no handle: `noqueue`, or its default.
      const isThere = there !== undefined && there.handle !== 0;
      if (isThere && !isOurs(there, handle)) foreign.set(index, there);
      else if (there?.filter === undefined || !isFilterOf(there.filter, handle, queue)) {
        attempt(index, put, () => putQueue(netlink, index, handle, queue, isThere));
      }
    }
    for (const one of roots.values()) {
      if (!isOurs(one, handle) || wanted.has(one.index) || !pick(one)) continue;
      attempt(one.index, removed, () => removeQueue(netlink, one.index, handle));
    }
  });
  return { foreign, put, removed, failed };
}

/** Removes all queues of podrate from this namespace, also those made by hand. @throws if one stays */
export function removeQueues(): void {
  for (const handle of [podHandle, manualHandle]) {
    for (const error of settleQueues({ handle }, new Map()).failed.values()) throw error;
  }
}

function rootQueues(netlink: Netlink, handle: number): RootQueue[] {
  const roots = listQdiscs(netlink).filter(({ parent }) => parent === root);
  return roots.map((one) => {
    if (!isOurs(one, handle)) return one;
    const filters = listFilters(netlink, { index: one.index, parent: handle });
    return { ...one, filter: filters.find(({ programId }) => programId !== 0) };
  });
}

function isOurs({ kind, handle }: Qdisc, ours: number): boolean {
  return kind === 'htb' && handle === ours;
}
