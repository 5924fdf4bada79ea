import { Counter, Gauge, type Registry } from 'prom-client';
import { directions } from '../../rate/limit.ts';
import type { Ledger } from './ledger.ts';

/**
 * Adds the metrics of quotas to a registry. Each replica tells all ledgers that it knows.
 * @param ledgers the ledgers by namespace, read when the metrics are
 * @returns a function that counts a failure that was not an admission's: of the watch of pods, or of tending a ledger
 */
export function addQuotaMetrics(registry: Registry, ledgers: () => ReadonlyMap<string, Ledger>): () => void {
  const registers = [registry];
  const labelNames = ['namespace', 'direction'] as const;
  const used = new Gauge({
    name: 'podrate_quota_used_bytes_per_second',
    help: 'What is used of a namespace quota: the limits of its unfinished pods, and of those just admitted.',
    labelNames,
    registers,
    collect() {
      // One walk for both: they are collected one after the other.
      for (const gauge of [used, hard]) gauge.reset();
      for (const [namespace, ledger] of ledgers()) {
        for (const direction of directions) {
          const limit = ledger.hard[direction];
          if (limit === undefined) continue;
          used.set({ namespace, direction }, ledger.used[direction]);
          hard.set({ namespace, direction }, limit);
        }
      }
    },
  });
  const hard = new Gauge({
    name: 'podrate_quota_hard_bytes_per_second',
    help: 'A namespace quota, as it was at the last admission that it was asked about.',
    labelNames,
    registers,
  });
  const failures = new Counter({
    name: 'podrate_quota_failures_total',
    help: 'Failures to watch the pods that count or to tend a ledger; admissions that failed are not in it.',
    registers,
  });
  return () => failures.inc();
}
