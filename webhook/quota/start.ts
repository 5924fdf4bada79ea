import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import type { Clock } from '../cluster/clock.ts';
import { runInformer } from '../cluster/informer.ts';
import { createQuotaKeeper, type QuotaKeeper } from './keeper.ts';
import { ledgerStore } from './ledger-store.ts';
import { addQuotaMetrics } from './metrics.ts';
import { countNow, stampedPods, toTable } from './pod-source.ts';
import { createPodTable } from './pod-table.ts';

/** What a keeper on a cluster is started with. */
export interface QuotaOptions {
  readonly kubeConfig: KubeConfig;
  readonly registry: Registry;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Resolves once a namespace has a quota. Clusters without one have no pods watched. */
  readonly isNeeded: Promise<void>;
  /** Called when something failed that is no admission; it is tried again. */
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
  /** How long a grant can take effect, in ms. */
  readonly lifeMs: number;
}

const tendMs = 5_000;

/**
 * Starts a keeper, the watch of the pods that count, and the tending of the ledgers. The keeper can be asked at once:
 * without the watch it lists the pods for each decision.
 */
export function startQuota(options: QuotaOptions): QuotaKeeper {
  const { kubeConfig, registry, clock, random, isNeeded, signal, lifeMs } = options;
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
  const tend = async () => {
    while (!signal.aborted) {
      // Replicas that tend in step would only get in each other's way.
      await clock.sleep(tendMs * (0.75 + random() / 2), signal);
      if (!signal.aborted) await keeper.tend().catch(onError);
    }
  };
  void isNeeded.then(() => {
    void runInformer({ ...stampedPods, kubeConfig, handler: toTable(table), clock, onError, signal });
    void tend();
  });
  return keeper;
}
