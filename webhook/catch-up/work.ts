import type { Admission } from '../admission.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Backlog, BacklogEntry } from './backlog.ts';
import type { CatchUpMetrics } from './metrics.ts';
import type { SeenPod } from './seen-pod.ts';
import type { StampOutcome, StampPod } from './stamping.ts';

/** What works off a backlog. */
export interface WorkOptions {
  readonly backlog: Backlog;
  readonly validate: Admission['validate'];
  readonly stamp: StampPod;
  readonly metrics: Pick<CatchUpMetrics, 'outcome' | 'failure'>;
  readonly log: Log;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Between two pods, in ms: at most four a second from each replica, a small part of what an API server allows a client. */
export const gapMs = 250;
/** Before another try of a pod whose update did nothing, and after a failure; each wait doubles the one before. */
export const firstRetryMs = 1_000;
const longestRetryMs = 300_000;
/** Longest wait of all pods after failures: the API server is away, and what waits should not wait long after it is back. */
const longestPauseMs = 30_000;
/** Before a pod that was refused is asked about again: a quota may have room by then, and a policy may be another one. */
export const refusedMs = 600_000;

/** Has the pods of a backlog stamped one by one, until the signal is aborted. */
export async function workOff(options: WorkOptions): Promise<void> {
  const { backlog, metrics, log, clock, random, signal } = options;
  // Replicas that try in step would only be in each other's way.
  const jitter = (ms: number) => ms * (0.75 + random() / 2);
  let failures = 0;
  while (!signal.aborted) {
    const entry = backlog.next(clock.nowMs());
    if (entry !== undefined) {
      try {
        const result = await attempt(entry.seen, options);
        settle(entry, result, options, jitter);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        metrics.failure();
        const retryMs = Math.round(jitter(doubled(failures, longestPauseMs)));
        failures += 1;
        const { seen, tries, reason: told } = entry;
        log.warn({ ...named(seen), retryMs, reason: sentence(error) }, 'could not have a pod stamped');
        // If it is this pod alone that fails, the others go on.
        const dueMs = clock.nowMs() + jitter(doubled(tries, longestPauseMs));
        backlog.putOff(seen.uid, { state: 'tried', dueMs, tries: tries + 1, reason: told });
        await clock.sleep(retryMs, signal);
        continue;
      }
    }
    await clock.sleep(jitter(gapMs), signal);
  }
}

// Asks as if the pod were created now: an update that leaves its labels alone is not refused for them, and a pod that nobody
// admitted has yet to pass. All that a pod without its stamp can be refused for otherwise is the stamp.
async function attempt(seen: SeenPod, { validate, stamp }: WorkOptions): Promise<StampOutcome> {
  const { namespace, name, uid, pod } = seen;
  const about = { uid, namespace, name, operation: 'CREATE', dryRun: true } as const;
  const review = { ...about, byNode: false, pod, oldPod: undefined };
  const decision = await validate({ ...about, subject: { kind: 'pod', review } }, { isStrict: true });
  if (decision.outcome === 'deny' && decision.code === 'stamp/forged') return stamp(seen);
  const fault = decision.outcome === 'deny' ? decision : decision.outcome === 'leave' ? decision.fault : undefined;
  return { outcome: 'refused', reason: fault?.message ?? 'by its labels and the policy it needs no stamp' };
}

function settle(
  { seen, tries, reason: told }: BacklogEntry,
  result: StampOutcome,
  { backlog, metrics, log, clock }: WorkOptions,
  jitter: (ms: number) => number,
): void {
  const { outcome } = result;
  metrics.outcome(outcome);
  if (outcome === 'stamped' || outcome === 'gone') {
    backlog.remove(seen.uid);
    if (outcome === 'stamped') log.info(named(seen), 'stamped a pod late');
  } else if (outcome === 'refused') {
    const { reason } = result;
    backlog.putOff(seen.uid, { state: 'refused', dueMs: clock.nowMs() + jitter(refusedMs), tries: 0, reason });
    if (reason !== told) log.warn({ ...named(seen), reason }, 'a pod stays without its stamp');
  } else {
    const dueMs = clock.nowMs() + jitter(doubled(tries, longestRetryMs));
    backlog.putOff(seen.uid, { state: 'tried', dueMs, tries: tries + 1, reason: told });
    // At the start of a replica the API server may not know yet that it can be asked, or another one changed the pod.
    if (outcome === 'unanswered' && tries === 3) log.warn(named(seen), 'updates of a pod do not get to admission');
  }
}

function doubled(times: number, longest: number): number {
  return Math.min(firstRetryMs * 2 ** Math.min(times, 20), longest);
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function named({ namespace, name, uid }: SeenPod) {
  return { namespace, name, uid };
}
