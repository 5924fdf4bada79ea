/** Reads the queues of a network namespace and does what a plan says about them. */
import { changeCommands, installCommands, type Queue, removeCommand } from './queue.ts';
import { isOurs, planQueues, type QueuePlan, type QueueStep, type QueuesThere } from './queue-plan.ts';
import { htbRates, rootQueues } from './queue-state.ts';
import { type Tc, TcError } from './tc.ts';

/** What became of the queues that were wanted. */
export interface QueueOutcome {
  readonly foreign: QueuePlan['foreign'];
  readonly done: readonly QueueStep[];
  /** Why a device has not the queue that it should have. */
  readonly failed: ReadonlyMap<string, Error>;
}

/**
 * Makes the queues of a namespace be these and no others under podrate's handle.
 * @throws TcError if they cannot be read
 */
export async function settleQueues(tc: Tc, handle: string, wanted: ReadonlyMap<string, Queue>): Promise<QueueOutcome> {
  const { steps, foreign } = planQueues(handle, wanted, await readQueues(tc, handle));
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
export async function readQueues(tc: Tc, handle: string): Promise<QueuesThere> {
  const roots = rootQueues(await tc.show('qdisc show'));
  const rates = new Map<string, ReturnType<typeof htbRates>>();
  for (const root of roots.values()) {
    if (!isOurs(root, handle)) continue;
    rates.set(root.device, htbRates(await tc.print([`class show dev ${root.device}`])));
  }
  return { roots, rates };
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
