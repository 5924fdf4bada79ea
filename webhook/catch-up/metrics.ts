import { Counter, Gauge, type Registry } from 'prom-client';
import type { Backlog, BacklogState } from './backlog.ts';
import type { StampOutcome } from './stamping.ts';

/** The metrics of pods that are stamped late. */
export interface CatchUpMetrics {
  /** Counts what became of a try. */
  outcome(outcome: StampOutcome['outcome']): void;
  /** Counts a failure that was not a pod's: of a list, a watch or an update. */
  failure(): void;
}

const states: readonly BacklogState[] = ['waiting', 'tried', 'refused'];

/** Adds the metrics to a registry. Each replica tells what it sees, and counts what it did itself. */
export function createCatchUpMetrics(registry: Registry, backlog: Pick<Backlog, 'count'>): CatchUpMetrics {
  const registers = [registry];
  const pods = new Gauge({
    name: 'podrate_pods_without_stamp',
    help: 'Running pods without the stamp for their rate label or default: waiting for their turn, tried in vain, or refused.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of states) pods.set({ state }, backlog.count(state));
    },
  });
  const stamped = new Counter({
    name: 'podrate_pods_stamped_late_total',
    help: 'Pods that this replica had stamped after they were created without a stamp.',
    registers,
  });
  const tries = new Counter({
    name: 'podrate_late_stamp_tries_total',
    help: 'Tries by outcome: stamped, unanswered (the update did not get to admission), changed or gone meanwhile, refused.',
    labelNames: ['outcome'],
    registers,
  });
  const failures = new Counter({
    name: 'podrate_late_stamp_failures_total',
    help: 'Failures to list, watch or update the pods that may lack a stamp.',
    registers,
  });
  return {
    outcome(outcome) {
      tries.inc({ outcome });
      if (outcome === 'stamped') stamped.inc();
    },
    failure: () => failures.inc(),
  };
}
