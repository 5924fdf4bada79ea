/** Reads the queues of a network namespace and carries out a plan. */
import { NetlinkError } from '../net/netlink.ts';
import type { Tc } from '../net/tc.ts';
import { changeQueue, installQueue, manualHandle, podHandle, type Queue, removeQueue } from './htb.ts';
import { isOurs, planQueues, type QueuePlan, type QueueStep, type QueuesThere } from './plan.ts';
import { type QueueFilter, queueFilter, type RootQueue, rootQueues } from './state.ts';
import { explainQueueError, NoQueuesError } from './support.ts';

/** The result of settling the queues. */
export interface QueueOutcome {
  readonly foreign: QueuePlan['foreign'];
  readonly done: readonly QueueStep[];
  /** Why a device does not have the queue that it should have. */
  readonly failed: ReadonlyMap<string, Error>;
}

/** Picks devices by what is on them. All others stay as they are. */
export type PickDevice = (root: RootQueue, filter: QueueFilter | undefined) => boolean;

/**
 * Makes the queues of a namespace be these and no others under a handle of podrate's.
 * @param pick undefined: all devices of the namespace
 * @throws if they cannot be read
 */
export function settleQueues(
  tc: Tc,
  handle: string,
  wanted: ReadonlyMap<string, Queue>,
  pick: PickDevice = () => true,
): QueueOutcome {
  const { steps, foreign } = planQueues(handle, wanted, readQueues(tc, handle, pick));
  const failed = new Map<string, Error>();
  const done: QueueStep[] = [];
  let lacking: NoQueuesError | undefined;
  for (const step of steps) {
    const { device, kind } = step;
    if (failed.has(device)) continue;
    try {
      // What the kernel lacks, it lacks for every device.
      if (kind === 'install' && lacking !== undefined) throw lacking;
      doStep(tc, handle, step);
      done.push(step);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const explained = explainQueueError(error);
      if (explained instanceof NoQueuesError) lacking = explained;
      if (!isDeviceGone(error)) failed.set(device, explained);
    }
  }
  return { foreign, done, failed };
}

/** Reads the root queueing disciplines of devices, and the filters of podrate's. @throws if they cannot be read */
export function readQueues(tc: Tc, handle: string, pick: PickDevice = () => true): QueuesThere {
  const roots = rootQueues(tc.qdiscs());
  const ours = [...roots.values()].filter((root) => isOurs(root, handle)).map(({ device }) => device);
  const filters = new Map(
    [...tc.filters(ours, handle)].flatMap(([device, there]): [string, QueueFilter][] => {
      const filter = queueFilter(there);
      return filter === undefined ? [] : [[device, filter]];
    }),
  );
  return { roots: new Map([...roots].filter(([device, root]) => pick(root, filters.get(device)))), filters };
}

/** Removes all queues of podrate from this namespace, also those made by hand. @throws if one stays */
export function removeQueues(tc: Tc): void {
  for (const handle of [podHandle, manualHandle]) {
    const { failed } = settleQueues(tc, handle, new Map());
    for (const error of failed.values()) throw error;
  }
}

function doStep(tc: Tc, handle: string, step: QueueStep): void {
  const { device } = step;
  if (step.kind === 'remove') tc.change(removeQueue(device));
  else if (step.kind === 'install') install(tc, handle, device, step.queue);
  else {
    try {
      tc.change(changeQueue(device, handle, step.queue));
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      // An earlier version, or another program, has left classes or filters that are in the way.
      tc.change(removeQueue(device));
      install(tc, handle, device, step.queue);
    }
  }
}

function install(tc: Tc, handle: string, device: string, queue: Queue): void {
  try {
    tc.change(installQueue(device, handle, queue));
  } catch (error) {
    // Half a queue would let everything pass. What another program has installed meanwhile has another handle.
    const left = rootQueues(tc.qdiscs()).get(device);
    if (left !== undefined && isOurs(left, handle)) tc.change(removeQueue(device));
    throw error;
  }
}

/** A device that vanished meanwhile took its queue along. */
function isDeviceGone(error: Error): boolean {
  return error instanceof NetlinkError && error.errno === 'ENODEV';
}
