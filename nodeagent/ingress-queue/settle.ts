/** Reads the queues of a network namespace and carries out a plan. */
import { TcError } from '../net/iproute.ts';
import type { Tc } from '../net/tc.ts';
import { changeCommands, installCommands, manualHandle, podHandle, type Queue, removeCommand } from './htb.ts';
import { isOurs, planQueues, type QueuePlan, type QueueStep, type QueuesThere } from './plan.ts';
import { type QueueFilter, queueFilter, type RootQueue, rootQueues } from './state.ts';
import { explainQueueError } from './support.ts';

/** The result of settling the queues. */
export interface QueueOutcome {
  readonly foreign: QueuePlan['foreign'];
  readonly done: readonly QueueStep[];
  /** Why a device does not have the queue that it should have. */
  readonly failed: ReadonlyMap<string, TcError>;
}

/** Picks devices by what is on them. All others stay as they are. */
export type PickDevice = (root: RootQueue, filter: QueueFilter | undefined) => boolean;

/**
 * Makes the queues of a namespace be these and no others under a handle of podrate's.
 * @param pick undefined: all devices of the namespace
 * @throws TcError if they cannot be read
 */
export async function settleQueues(
  tc: Tc,
  handle: string,
  wanted: ReadonlyMap<string, Queue>,
  pick: PickDevice = () => true,
): Promise<QueueOutcome> {
  const { steps, foreign } = planQueues(handle, wanted, await readQueues(tc, handle, pick));
  const failed = new Map<string, TcError>();
  const done: QueueStep[] = [];
  let unsupported: TcError | undefined;
  for (const step of steps) {
    const { device, kind } = step;
    if (failed.has(device)) continue;
    try {
      // What the kernel lacks, it lacks for every device.
      if (kind === 'install' && unsupported !== undefined) throw unsupported;
      await doStep(tc, handle, step);
      done.push(step);
    } catch (error) {
      if (!(error instanceof TcError)) throw error;
      const explained = explainQueueError(error);
      if (explained.code === 'tc/unsupported') unsupported = explained;
      // A device that vanished meanwhile took its queue along.
      if (!/Cannot find device/.test(error.message)) failed.set(device, explained);
    }
  }
  return { foreign, done, failed };
}

/** Reads the root queueing disciplines of devices, and the filters of podrate's. @throws TcError */
export async function readQueues(tc: Tc, handle: string, pick: PickDevice = () => true): Promise<QueuesThere> {
  const roots = rootQueues(await tc.show('qdisc show'));
  const ours = [...roots.values()].filter((root) => isOurs(root, handle)).map(({ device }) => device);
  const filters = await readFilters(tc, handle, ours);
  return { roots: new Map([...roots].filter(([device, root]) => pick(root, filters.get(device)))), filters };
}

async function readFilters(tc: Tc, handle: string, devices: readonly string[]): Promise<Map<string, QueueFilter>> {
  const show = (device: string) => `filter show dev ${device} parent ${handle}`;
  const printed = await tc.showAll(devices.map(show)).catch(async (error: unknown) => {
    if (!(error instanceof TcError) || error.code === 'tc/missing') throw error;
    // One of the devices has vanished.
    const each: unknown[] = [];
    for (const device of devices) each.push(await tc.show(show(device)).catch(() => []));
    return each;
  });
  return new Map(
    devices.flatMap((device, index): [string, QueueFilter][] => {
      const filter = queueFilter(printed[index] ?? []);
      return filter === undefined ? [] : [[device, filter]];
    }),
  );
}

/**
 * Removes all queues of podrate from this namespace, also those made by hand. Without tc there are none.
 * @throws TcError if one stays
 */
export async function removeQueues(tc: Tc): Promise<void> {
  try {
    for (const handle of [podHandle, manualHandle]) {
      const { failed } = await settleQueues(tc, handle, new Map());
      for (const error of failed.values()) throw error;
    }
  } catch (error) {
    if (!(error instanceof TcError) || error.code !== 'tc/missing') throw error;
  }
}

async function doStep(tc: Tc, handle: string, step: QueueStep): Promise<void> {
  const { device, kind } = step;
  if (kind === 'remove') return tc.batch([removeCommand(device)]);
  if (kind === 'change') {
    try {
      return await tc.batch(changeCommands(device, handle, step.queue));
    } catch (error) {
      if (!(error instanceof TcError)) throw error;
      // An earlier version, or another program, has left classes or filters that are in the way.
      await tc.batch([removeCommand(device)]);
    }
  }
  try {
    await tc.batch(installCommands(device, handle, step.queue));
  } catch (error) {
    // Half a queue would let everything pass. What another program has installed meanwhile has another handle.
    const left = (await readQueues(tc, handle).catch(() => undefined))?.roots.get(device);
    if (left !== undefined && isOurs(left, handle)) await tc.batch([removeCommand(device)]).catch(() => {});
    throw error;
  }
}
