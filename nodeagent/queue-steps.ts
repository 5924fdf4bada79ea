/** Reads the queues of a network namespace and does what a plan says about them. */
import { TcError } from './iproute.ts';
import {
  type ClassRates,
  changeCommands,
  installCommands,
  manualHandle,
  podHandle,
  type Queue,
  removeCommand,
} from './queue.ts';
import { isOurs, planQueues, type QueuePlan, type QueueStep, type QueuesThere } from './queue-plan.ts';
import { htbRates, htbRatesOf, rootQueues } from './queue-state.ts';
import type { Tc } from './tc.ts';

/** What became of the queues that were wanted. */
export interface QueueOutcome {
  readonly foreign: QueuePlan['foreign'];
  readonly done: readonly QueueStep[];
  /** Why a device has not the queue that it should have. */
  readonly failed: ReadonlyMap<string, Error>;
}

/**
 * Makes the queues of a namespace be these and no others under a handle of podrate's.
 * @param among devices that are looked at, all others stay as they are; undefined: all devices of the namespace
 * @throws TcError if they cannot be read
 */
export async function settleQueues(
  tc: Tc,
  handle: string,
  wanted: ReadonlyMap<string, Queue>,
  among?: ReadonlySet<string>,
): Promise<QueueOutcome> {
  const { steps, foreign } = planQueues(handle, wanted, await readQueues(tc, handle, among));
  const failed = new Map<string, Error>();
  const done: QueueStep[] = [];
  for (const step of steps) {
    if (failed.has(step.device)) continue;
    try {
      await doStep(tc, handle, step);
      done.push(step);
    } catch (error) {
      if (!(error instanceof TcError)) throw error;
      // A device that vanished meanwhile took its queue along.
      if (!/Cannot find device/.test(error.message)) failed.set(step.device, error);
    }
  }
  return { foreign, done, failed };
}

/** Reads the root queues of all devices, and the rates of those that are podrate's. @throws TcError */
export async function readQueues(tc: Tc, handle: string, among?: ReadonlySet<string>): Promise<QueuesThere> {
  const all = rootQueues(await tc.show('qdisc show'));
  const roots = new Map([...all].filter(([device]) => among?.has(device) ?? true));
  const ours = [...roots.values()].filter((root) => isOurs(root, handle)).map(({ device }) => device);
  const show = (device: string) => `class show dev ${device}`;
  const together = await tc.print(ours.map(show)).then(
    (printed) => htbRatesOf(printed, ours),
    () => undefined,
  );
  if (together !== undefined) return { roots, rates: together };
  // One has vanished, or has classes that are not podrate's.
  const rates = new Map<string, ClassRates>();
  for (const device of ours) rates.set(device, htbRates(await tc.print([show(device)]).catch(() => '')));
  return { roots, rates };
}

/**
 * Takes all queues of podrate off this namespace, also those made by hand. Without tc there are none.
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
  const { device } = step;
  switch (step.kind) {
    case 'remove':
      return tc.batch([removeCommand(device)]);
    case 'change':
      return tc.batch(changeCommands(device, handle, step.queue, step.leaf));
    case 'install':
      try {
        await tc.batch(installCommands(device, handle, step.queue, 'fq_codel'));
      } catch (error) {
        if (!(error instanceof TcError)) throw error;
        await tc.batch([removeCommand(device)]).catch(() => {});
        // A kernel without it says so only after it has looked for the module.
        if (!/kind is unknown/.test(error.message)) throw error;
        await tc.batch(installCommands(device, handle, step.queue, 'bfifo'));
      }
  }
}
