import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { judge } from './bars/bar.ts';
import { bars } from './bars/bars.ts';
import { type RunResult, summarizeRuns } from './figures/results.ts';
import type { Run } from './plan.ts';
import { progressLine } from './progress.ts';
import { type Curve, curveOf } from './report/curves.ts';
import type { Report } from './report/report.ts';
import { doRun } from './run.ts';
import { allScenarios } from './scenarios/all.ts';
import { bulk } from './scenarios/bulk.ts';
import type { Testbed } from './testbed/testbed.ts';

/** How the runs are done, and who hears about them. */
export interface BenchmarkOptions {
  readonly quick: boolean;
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/**
 * Does all runs one after the other, and judges them. A run that fails is reported and does not end the benchmark.
 *
 * @returns the report, and the curves of the thesis's three figures, of the first round
 * @throws the signal's reason when it is aborted
 */
export async function benchmark(
  bed: Testbed,
  runs: readonly Run[],
  { quick, rounds, signal, say }: BenchmarkOptions,
): Promise<{ report: Report; curves: Curve[] }> {
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  const results: RunResult[] = [];
  const failures: Report['failures'][number][] = [];
  const curves: Curve[] = [];
  for (const [index, run] of runs.entries()) {
    signal.throwIfAborted();
    const { scenario, peer, round } = run;
    try {
      const { figures, wire, startUs } = await doRun(bed, run, quick);
      results.push({ scenario: scenario.name, peer, round, figures });
      if (isThesisFigure(run) && scenario.kind === 'traffic' && wire)
        curves.push(curveOf(scenario, peer, startUs ?? 0, wire));
      say(progressLine(run, index + 1, runs.length, seconds(), figures));
    } catch (error) {
      signal.throwIfAborted();
      const text = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      failures.push({ scenario: scenario.name, peer, error: text });
      say(progressLine(run, index + 1, runs.length, seconds(), text));
    }
  }
  const medians = summarizeRuns(allScenarios, results);
  const machine = {
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    processors: availableParallelism(),
    node: process.version,
  };
  const report = {
    quick,
    rounds,
    machine,
    seconds: seconds(),
    runs: results,
    failures,
    medians,
    bars: judge(bars, medians),
  };
  return { report, curves };
}

/** The thesis measured one flow at 1, 5 and 10 MB/s over time (its figures 6.1 to 6.3). */
function isThesisFigure({ scenario, peer, round }: Run): boolean {
  const isOne = thesisScenarios.includes(scenario.name);
  return isOne && round === 0 && ['podrate', 'thesis', 'cni', 'cni-sane'].includes(peer);
}
const thesisScenarios = [1e6, 5e6, 10e6].map((rate) => bulk('egress', [rate, 1, []]).name);
