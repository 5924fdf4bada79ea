import type { Judgement } from '../bars/bar.ts';
import type { RunResult, ScenarioResult } from '../figures/results.ts';
import type { PeerName } from '../peers/all.ts';

/** Everything that one call of the benchmark found; the JSON file is this. */
export interface Report {
  readonly quick: boolean;
  readonly rounds: number;
  readonly machine: { readonly kernel: string; readonly processors: number; readonly node: string };
  readonly seconds: number;
  readonly runs: readonly RunResult[];
  /** Runs that ended with an error. */
  readonly failures: readonly { readonly scenario: string; readonly peer: PeerName; readonly error: string }[];
  readonly medians: readonly ScenarioResult[];
  readonly bars: readonly Judgement[];
}

/** A bar with its judgements put together. */
export interface BarSummary {
  readonly bar: string;
  readonly judged: number;
  readonly met: number;
  /** The one that is furthest outside, or else nearest to a bound. */
  readonly worst: Judgement;
}

/** Puts the judgements of each bar together, in the order of the bars. */
export function summarizeBars(judgements: readonly Judgement[]): BarSummary[] {
  return [...new Set(judgements.map(({ bar }) => bar))].flatMap((bar) => {
    const own = judgements.filter((judgement) => judgement.bar === bar);
    const [worst] = [...own].sort((one, other) => strain(other) - strain(one));
    const met = own.filter(({ missedBy }) => missedBy === 0).length;
    return worst === undefined ? [] : [{ bar, judged: own.length, met, worst }];
  });
}

/** How near to missing, relative to the bound: above 0 outside. */
function strain({ value, bounds, missedBy }: Judgement): number {
  if (!Number.isFinite(missedBy)) return Infinity;
  const scale = Math.abs(bounds.most ?? bounds.least ?? 1) || 1;
  return Math.max(((bounds.least ?? -Infinity) - value) / scale, (value - (bounds.most ?? Infinity)) / scale);
}
