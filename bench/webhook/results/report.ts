import type { Judgement } from './bars.ts';
import type { Memory } from './memory.ts';
import type { RunResult, ScenarioResult } from './results.ts';

/** Everything that one call of the benchmark found; the JSON file is this. */
export interface Report {
  readonly quick: boolean;
  readonly rounds: number;
  readonly machine: { readonly kernel: string; readonly processors: number; readonly node: string };
  /** What podrate's webhook was started with: variables, flags of V8, program. */
  readonly command: string;
  readonly seconds: number;
  readonly runs: readonly Omit<RunResult, 'latencies'>[];
  readonly results: readonly ScenarioResult[];
  readonly memory: Memory;
  readonly bars: readonly Judgement[];
}
