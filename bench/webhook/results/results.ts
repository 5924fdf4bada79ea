import { jointPercentile, median, sum } from '../../figures/statistics.ts';
import type { VariantName } from '../variants.ts';
import type { FigureName, Figures } from './figures.ts';

/** The figures of one run. */
export interface RunResult {
  readonly scenario: string;
  readonly variant: VariantName;
  readonly round: number;
  readonly figures: Figures;
  /** Of each request that was answered as expected, in ms, in ascending order. */
  readonly latencies: readonly number[];
  /** Why requests failed, and how many each time. */
  readonly failures: Readonly<Record<string, number>>;
}

/** One scenario: p50 and p99 of all requests of its runs together, the sum of failures and the median of the rest, for each variant that ran. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly variants: Readonly<Partial<Record<VariantName, Figures>>>;
}

/**
 * Puts runs together, scenario by scenario in the order of the names. The median of the runs' p99 would be a poor measure of a p99 that lies
 * where an API server's garbage collections begin: a run has few of them, and jumps with each from one side to the other.
 */
export function summarizeRuns(scenarios: readonly string[], runs: readonly RunResult[]): ScenarioResult[] {
  return scenarios.flatMap((scenario) => {
    const own = runs.filter((run) => run.scenario === scenario);
    const names = [...new Set(own.map(({ variant }) => variant))].sort();
    const variants = names.map((name) => [name, combined(own.filter(({ variant }) => variant === name))]);
    return own.length === 0 ? [] : [{ scenario, variants: Object.fromEntries(variants) }];
  });
}

function combined(runs: readonly RunResult[]): Figures {
  const values = (name: FigureName) => runs.flatMap(({ figures }) => figures[name] ?? []);
  const latencies = runs.map((run) => run.latencies);
  return {
    perSecond: median(values('perSecond')),
    p50: jointPercentile(latencies, 0.5),
    p99: jointPercentile(latencies, 0.99),
    failed: sum(values('failed')),
  };
}
