import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCpu } from '../../testbed/cpu.ts';

/** What the control plane itself does when nobody asks anything of it, and some more. */
const quietShare = 0.15;
const lookMs = 500;
const mostMs = 10_000;

/**
 * Waits until the processors have next to nothing to do for a second, so that a run does not pay for what the one before it left to
 * be done: garbage, compactions, watches that lag. At most ten seconds: there may be no such moment.
 */
export async function waitUntilQuiet(signal: AbortSignal): Promise<void> {
  const begun = performance.now();
  const none = new Set<number>();
  let before = await readCpu(none);
  let at = performance.now();
  for (let quiet = 0; quiet < 2 && performance.now() - begun < mostMs; ) {
    await sleep(lookMs, undefined, { signal });
    const [now, nowAt] = [await readCpu(none), performance.now()];
    const share = (now.busy - before.busy) / (((nowAt - at) / 1000) * availableParallelism());
    quiet = share <= quietShare ? quiet + 1 : 0;
    [before, at] = [now, nowAt];
  }
}
