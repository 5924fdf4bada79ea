/** Decides when to look for connections that are older than their limit. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Report } from '../reconcile/reconcile.ts';
import type { Adopted } from './iterator.ts';

/** What adoptions are built from. */
export interface AdoptionsOptions {
  /** Runs the iterator in all network namespaces of the node. */
  readonly adopt: () => Promise<Adopted>;
  /** Reports whether a process is in a cgroup: one that is just starting has no connections yet. */
  readonly isPopulated: (path: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * When to look after a limit came, in ms. The iterator finds what has sent since then, and connections that are dropped from may be
 * silent for 200 ms, TCP's least timeout.
 */
export const looksAfterMs = [250, 800];

/** Builds it. Errors are logged: limits hold by dropping meanwhile, and the next thorough pass looks again. */
export function createAdoptions({ adopt, isPopulated, clock, log }: AdoptionsOptions) {
  const late = new Set<string>();
  const cancels = new Set<() => void>();
  let fixedRates = false;

  const look = async () => {
    try {
      const adopted = await adopt();
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
    /** Learns what a pass did. @param full whether it was a thorough one */
    async passed({ attached, slots, steps }: Pick<Report, 'attached' | 'slots' | 'steps'>, full: boolean) {
      const held = new Set(slots.map((slot) => slot.owner));
      for (const owner of late) if (!held.has(owner)) late.delete(owner);
      let due = late.size > 0 && (full || (fixedRates && (steps.update ?? 0) > 0));
      for (const { owner, cgroup } of attached) {
        if (late.has(owner) || !(await isPopulated(cgroup.path).catch(() => false))) continue;
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
