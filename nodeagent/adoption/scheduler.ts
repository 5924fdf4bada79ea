/** Decides when to look for connections that are older than their limit. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Report } from '../reconcile/reconcile.ts';
import type { Adopted } from './iterator.ts';

/** What adoptions are built from. */
export interface AdoptionsOptions {
  /** Runs the iterator; undefined where the kernel has none. */
  readonly adopt: (namespaces: readonly string[]) => Promise<Adopted | undefined>;
  readonly mayHaveConnections: (path: string) => Promise<boolean>;
  /** Directory with the network namespaces of the node. */
  readonly netnsDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The running part. */
export interface Adoptions {
  /** Tells what a pass did. @param full whether it was a thorough one */
  passed(report: Pick<Report, 'attached' | 'slots' | 'steps'>, full: boolean): Promise<void>;
  stop(): void;
}

/**
 * When to look after a limit came, in ms. The iterator finds what has sent since then, and connections that are dropped from may be
 * silent for 200 ms, TCP's least timeout.
 */
export const looksAfterMs = [250, 800];

/** Builds it. Errors are logged: limits hold by dropping meanwhile, and the next thorough pass looks again. */
export function createAdoptions(options: AdoptionsOptions): Adoptions {
  const { adopt, mayHaveConnections, netnsDirectory, clock, log } = options;
  const late = new Set<string>();
  const cancels = new Set<() => void>();
  let fixedRates = false;

  const look = async () => {
    try {
      const names = await readdir(netnsDirectory).catch(() => []);
      const adopted = await adopt(names.map((name) => join(netnsDirectory, name)));
      if (adopted === undefined) return;
      fixedRates ||= adopted.fixed > 0;
      if (adopted.paced + adopted.fixed > 0)
        log.info({ ...adopted }, 'connections that are older than their limit are paced');
    } catch (error) {
      log.warn({ error: String(error) }, 'connections that are older than their limit are held by dropping only');
    }
  };
  const schedule = () => {
    for (const ms of looksAfterMs) {
      const cancel = clock.after(ms, () => {
        cancels.delete(cancel);
        void look();
      });
      cancels.add(cancel);
    }
  };

  return {
    async passed({ attached, slots, steps }, full) {
      let due = late.size > 0 && (full || (fixedRates && (steps.update ?? 0) > 0));
      const held = new Set(slots.map((slot) => slot.owner));
      for (const owner of late) if (!held.has(owner)) late.delete(owner);
      for (const { owner, cgroup } of attached) {
        if (late.has(owner) || !(await mayHaveConnections(cgroup.path))) continue;
        late.add(owner);
        due = true;
      }
      if (due) schedule();
    },
    stop() {
      for (const cancel of cancels) cancel();
    },
  };
}
