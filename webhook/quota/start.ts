import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import { pageSize } from '../../kube/pages.ts';
import type { Clock } from '../clock.ts';
import { createDemand, type Demand } from '../demand.ts';
import type { PodFollower } from '../follow-pods.ts';
import { createQuotaKeeper, type QuotaKeeper } from './keeper.ts';
import type { Hard } from './ledger.ts';
import { ledgerStore } from './ledger-store.ts';
import { createQuotaMetrics } from './metrics.ts';
import { countNow, toTable } from './pod-source.ts';
import { createPodTable } from './pod-table.ts';
import { tendLedgers } from './tending.ts';

/** What a keeper on a cluster is started with. */
export interface QuotaOptions {
  readonly kubeConfig: KubeConfig;
  /** podrate's own namespace, where the ledgers are. */
  readonly home: string;
  readonly registry: Registry;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** A namespace's quota as its labels have it now; empty if it has none, undefined if that is not known. */
  readonly hardOf: (namespace: string) => Hard | undefined;
  /** Called when something failed that is no admission; it is tried again. */
  readonly onError: (error: unknown) => void;
  /** Ends the tending. */
  readonly signal: AbortSignal;
  /** How long a grant can take effect, in ms. */
  readonly lifeMs: number;
}

/** A keeper, who is to be told of the pods with a stamp, which count, and when. */
export interface Quota {
  readonly keeper: QuotaKeeper;
  readonly counting: PodFollower;
  /** Whether they have to be told at once. */
  readonly demand: Demand;
  /** To be called when the pods could not be followed; they are counted for each admission then. @returns the wait before another try, in ms */
  onWatchFailure(error: unknown): number;
}

const tendMs = 1_000;
const retryMs = 1_000;

/** Starts a keeper and the tending of the ledgers. It can be asked at once. */
export function startQuota(options: QuotaOptions): Quota {
  const { kubeConfig, home, registry, clock, random, hardOf, signal, lifeMs } = options;
  const table = createPodTable(2 * lifeMs, clock.nowMs);
  const demand = createDemand();
  const keeper = createQuotaKeeper({
    ...{ table, clock, hardOf },
    store: ledgerStore(kubeConfig, home),
    countNow: (namespace) => countNow(kubeConfig, namespace),
    limits: {
      lifeMs,
      lagMs: 250,
      patienceMs: 8_000,
      // A tending or two of every other replica.
      mournMs: 2 * tendMs,
      restMs: tendMs,
      lingerMs: 10_000,
      recountPods: pageSize,
      // With the longest names, 1.3 MB.
      maxGrants: 3_000,
    },
    onSwap: (outcome) => metrics.swap(outcome),
  });
  const metrics = createQuotaMetrics(registry, keeper.ledgers);
  const onError = (error: unknown) => {
    metrics.failure();
    options.onError(error);
  };
  void tendLedgers({ keeper, demand, clock, random, onError, signal, everyMs: tendMs, lookMs: 30_000 });
  const onWatchFailure = (error: unknown) => {
    onError(error);
    return retryMs;
  };
  const check: QuotaKeeper['check'] = (request, awaited) => {
    const answer = keeper.check(request, awaited);
    demand.tell(keeper.needsPods());
    return answer;
  };
  return { keeper: { ...keeper, check }, counting: toTable(table), demand, onWatchFailure };
}
