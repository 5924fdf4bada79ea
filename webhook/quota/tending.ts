import type { Clock } from '../clock.ts';
import type { ToldDemand } from '../demand.ts';
import type { QuotaKeeper } from './keeper.ts';

/** How ledgers are tended. */
export interface TendingOptions {
  readonly keeper: Pick<QuotaKeeper, 'tend' | 'look' | 'untended' | 'needsPods'>;
  /** Told after each turn whether changes of pods have to be known at once. */
  readonly demand: Pick<ToldDemand, 'tell'>;
  readonly clock: Clock;
  /** Time between looks at the ledgers that are known here, in ms. */
  readonly everyMs: number;
  /** Time between looks for ledgers that other replicas made, in ms. */
  readonly lookMs: number;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Called when the API server did not do as it was asked; the next turn tries again. */
  readonly onError: (error: unknown) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Keeps the ledgers up to date between admissions, until the signal is aborted. */
export async function tendLedgers(options: TendingOptions): Promise<void> {
  const { keeper, demand, clock, everyMs, lookMs, random, onError, signal } = options;
  let lookAt = clock.nowMs();
  while (!signal.aborted) {
    const work = keeper.untended().map(keeper.tend);
    if (clock.nowMs() >= lookAt) {
      lookAt = clock.nowMs() + lookMs;
      work.push(keeper.look());
    }
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') onError(result.reason);
    }
    demand.tell(keeper.needsPods());
    // Replicas that tend in step would only be in each other's way.
    await clock.sleep(everyMs * (0.75 + random() / 2), signal);
  }
}
