import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import type { Clock } from '../cluster/clock.ts';
import { runInformer } from '../cluster/informer.ts';
import { createQuotaKeeper, type QuotaKeeper } from './keeper.ts';
import { ledgerStore } from './ledger-store.ts';
import { addQuotaMetrics } from './metrics.ts';
import { countNow, stampedPods, toTable } from './pod-source.ts';
import { createPodTable, type PodTable } from './pod-table.ts';

/** What a keeper on a cluster is started with. */
export interface QuotaOptions {
  readonly kubeConfig: KubeConfig;
  readonly registry: Registry;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Reports whether any namespace has a quota: only then pods are watched. */
  readonly hasQuotas: () => boolean;
  /** Called when something failed that is no admission; it is tried again. */
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
  /** How long a grant can take effect, in ms. */
  readonly lifeMs: number;
}

const tendMs = 2_000;
const lookMs = 1_000;

/**
 * Starts a keeper, the watch of the pods that count, and the tending of the ledgers. The keeper can be asked at once.
 */
export function startQuota(options: QuotaOptions): QuotaKeeper {
  const { kubeConfig, registry, clock, lifeMs } = options;
  const table = createPodTable(2 * lifeMs, { nowMs: clock.nowMs, dateMs: Date.now });
  const keeper = createQuotaKeeper({
    table,
    clock,
    store: ledgerStore(kubeConfig),
    countNow: (namespace) => countNow(kubeConfig, namespace),
    limits: {
      lifeMs,
      lagMs: 250,
      recountPods: 500,
      // With the longest names, 1.3 MB.
      maxGrants: 3_000,
    },
  });
  const countFailure = addQuotaMetrics(registry, keeper.ledgers);
  const onError = (error: unknown) => {
    countFailure();
    options.onError(error);
  };
  void watchPods({ ...options, onError }, table);
  void tendLedgers({ ...options, onError }, keeper);
  return keeper;
}

/** Watches the pods that count while there are quotas. Without the watch they are listed for each decision. */
async function watchPods(options: QuotaOptions, table: PodTable): Promise<void> {
  const { kubeConfig, clock, hasQuotas, onError, signal } = options;
  while (!signal.aborted) {
    if (hasQuotas()) {
      const end = new AbortController();
      const handler = toTable(table);
      const either = AbortSignal.any([signal, end.signal]);
      const running = runInformer({ ...stampedPods, kubeConfig, handler, clock, onError, signal: either });
      while (hasQuotas() && !signal.aborted) await clock.sleep(lookMs, signal);
      end.abort();
      await running;
      table.clear();
    }
    await clock.sleep(lookMs, signal);
  }
}

/** Keeps the ledgers up to date between admissions, until the signal is aborted. */
async function tendLedgers(options: QuotaOptions, keeper: QuotaKeeper): Promise<void> {
  const { hasQuotas, clock, random, onError, signal } = options;
  while (!signal.aborted) {
    // Replicas that tend in step would only get in each other's way.
    await clock.sleep(tendMs * (0.75 + random() / 2), signal);
    if (hasQuotas() && !signal.aborted) await keeper.tend().catch(onError);
  }
}
