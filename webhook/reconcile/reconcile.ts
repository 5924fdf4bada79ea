import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../cluster/clock.ts';
import type { Log } from '../http/log.ts';
import { type Candidate, type CandidateOptions, findCandidates } from './candidates.ts';
import { reportUnstamped, restamp } from './restamp.ts';

/** What the pods with a wrong stamp, or none, are reconciled with. */
export interface ReconcileOptions extends CandidateOptions {
  readonly registry: Registry;
  readonly log: Log;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  readonly signal: AbortSignal;
}

/** What is known of a pod whose update did not stamp it. */
interface Unstamped {
  readonly state: 'waiting' | 'refused';
  /** Not to be tried before, in ms of the clock. */
  readonly dueMs: number;
}

const everyMs = 60_000;
// One round of so many lists all pods of the cluster, which takes an API server a second for each 10,000.
const fullEvery = 10;
// Between two pods: at most twenty a second from each replica, a small part of what an API server allows a client.
const gapMs = 50;
// Before a pod is tried again. One that was refused may find room in its quota by then, or another policy.
const waitMs = { refused: 600_000, failed: everyMs, unanswered: 0 };
// Before a failed round is tried again; each wait doubles the one before.
const firstRetryMs = 1_000;

/**
 * Finds the pods with a wrong stamp, or none, and has them stamped: at the start, and once a minute until the signal is
 * aborted.
 */
export async function reconcilePods(options: ReconcileOptions): Promise<void> {
  const { kubeConfig, registry, log, clock, random, signal } = options;
  let unstamped = new Map<string, Unstamped>();
  const registers = [registry];
  const tries = new Counter({
    name: 'podrate_late_stamps_total',
    help: 'Updates of pods with a wrong stamp or none, by outcome; failed: the API server did not comply.',
    labelNames: ['outcome'],
    registers,
  });
  new Gauge({
    name: 'podrate_pods_without_stamp',
    help: 'Running pods without the stamp for their labels and policy, by state: waiting for another attempt, or refused.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of ['waiting', 'refused'] as const) {
        this.set({ state }, [...unstamped.values()].filter((pod) => pod.state === state).length);
      }
    },
  });

  /** Tries one pod. @returns whether it should be tried again soon */
  const attempt = async (candidate: Candidate): Promise<boolean> => {
    const { namespace, name, uid = '' } = candidate.metadata;
    const result = await restamp(kubeConfig, candidate);
    tries.inc({ outcome: result.outcome });
    const before = unstamped.get(uid);
    unstamped.delete(uid);
    if (result.outcome === 'stamped') log.info({ namespace, name, uid }, 'stamped a pod late');
    if (!('reason' in result)) return false;
    const { outcome, reason } = result;
    const isRefused = outcome === 'refused';
    // At the start of the webhook API servers may not know yet that they can ask it.
    const isFirst = before === undefined && !isRefused;
    const dueMs = isFirst ? 0 : clock.nowMs() + waitMs[outcome];
    unstamped.set(uid, { state: isRefused ? 'refused' : 'waiting', dueMs });
    if (before?.state !== 'refused') log.warn({ namespace, name, uid, reason }, 'a pod stays without its stamp');
    if (isFirst || outcome === 'failed') return true;
    await reportUnstamped(kubeConfig, candidate.metadata, reason);
    return false;
  };
  const round = async (scope: 'all' | 'labelled') => {
    const found = await findCandidates(options, scope);
    unstamped = new Map([...unstamped].filter(([uid]) => found.has(uid)));
    let again = 0;
    for (const [uid, candidate] of found) {
      if ((unstamped.get(uid)?.dueMs ?? 0) > clock.nowMs()) continue;
      if (await attempt(candidate)) again += 1;
      // If it is one pod alone that fails, the others go on.
      if (again === 3 || signal.aborted) break;
      await clock.sleep(gapMs, signal);
    }
    if (again > 0) throw new Error(`${again} pods are tried again`);
  };
  const onFailure = (error: unknown) => {
    tries.inc({ outcome: 'failed' });
    log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'could not reconcile pods');
  };

  let failures = 0;
  let rounds = 0;
  while (!signal.aborted) {
    try {
      await round(rounds % fullEvery === 0 ? 'all' : 'labelled');
      failures = 0;
      rounds += 1;
      // Replicas that list in step would only get in each other's way.
      await clock.sleep(everyMs * (0.75 + random() / 4), signal);
    } catch (error) {
      if (signal.aborted) return;
      onFailure(error);
      await clock.sleep(Math.min(firstRetryMs * 2 ** failures, everyMs / 2), signal);
      failures += 1;
    }
  }
}
