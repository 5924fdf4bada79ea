/** Runs passes when something may have changed. It never looks at what changed: a pass reads everything. */

import { type BackOff, backOff } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';

/** What a loop is built from. */
export interface LoopOptions {
  /**
   * Does one pass.
   * @param full whether the pass is a thorough one: the first, those of the resync timer, and those after a failure
   * @returns whether all went well, and when to look again, in ms, for something that takes time
   */
  readonly pass: (full: boolean) => Promise<{ ok: boolean; againInMs?: number | undefined }>;
  /** Time between thorough passes, in ms; each is up to a quarter longer, so that nodes do not run in step. */
  readonly resyncMs: number;
  /** Waits after a failure. */
  readonly backOffMs: BackOff;
  readonly clock: Clock;
}

/** Starts a loop; the first pass comes with the first kick. */
export function startLoop({ pass, resyncMs, backOffMs, clock }: LoopOptions) {
  let dirty = false;
  let running = false;
  let ended = Promise.resolve();
  let stopped = false;
  let failures = 0;
  let resyncDue = true;
  let cancelResync = () => {};
  let cancelRetry = () => {};

  // Dirty is checked and running is cleared in one go: a kick in between would be lost.
  const run = async () => {
    running = true;
    while (dirty && !stopped) {
      dirty = false;
      cancelRetry();
      const full = resyncDue || failures > 0;
      if (full) {
        resyncDue = false;
        cancelResync();
        cancelResync = clock.after(resyncMs * (1 + clock.random() / 4), () => {
          resyncDue = true;
          kick();
        });
      }
      const { ok, againInMs } = await pass(full).catch(() => ({ ok: false, againInMs: undefined }));
      failures = ok ? 0 : failures + 1;
      const waits = againInMs === undefined ? [] : [againInMs];
      if (!ok) waits.push(backOff(backOffMs, failures - 1, clock.random()));
      if (waits.length > 0) cancelRetry = clock.after(Math.min(...waits), kick);
    }
    running = false;
  };
  const kick = () => {
    dirty = true;
    if (!stopped && !running) ended = run();
  };

  return {
    /** Asks for a pass. Any number of kicks during a pass make one more. */
    kick,
    /** Lets the pass that runs end, and starts no other. */
    async stop() {
      stopped = true;
      cancelResync();
      cancelRetry();
      await ended;
    },
  };
}
