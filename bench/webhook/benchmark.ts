import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { percentile, sum } from '../figures/statistics.ts';
import { formatDuration, formatValue } from '../report/format.ts';
import type { LoadOutcome } from './load-job.ts';
import type { Run } from './plan.ts';
import { requestOf } from './requests.ts';
import { judge } from './results/bars.ts';
import type { Report } from './results/report.ts';
import { type RunResult, summarizeRuns } from './results/results.ts';
import { crowd, type Scenario, scenarios } from './scenarios.ts';
import { shippedStart } from './testbed/bundle.ts';
import { waitUntilQuiet } from './testbed/quiet.ts';
import type { Testbed } from './testbed/testbed.ts';
import { type VariantName, variants } from './variants.ts';

/** How the runs are done, and who hears about them. */
export interface BenchmarkOptions {
  readonly quick: boolean;
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

type Load = Pick<Scenario, 'clients' | 'kind'> & { readonly namespace: string; readonly count: number };

const crowded = 'bench-crowded';
const memoryIntervalMs = 250;

/** Does all runs one after the other, and judges them. @throws the signal's reason when it is aborted */
export async function benchmark(bed: Testbed, runs: readonly Run[], options: BenchmarkOptions): Promise<Report> {
  const { quick, rounds, signal, say } = options;
  const size = quick ? 'quick' : 'full';
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  const runResults: RunResult[] = [];
  const samples: number[] = [];
  let afterReviews: number | undefined;
  let sent = 0;

  const load = async (variant: VariantName, { kind, namespace, clients, count }: Load): Promise<LoadOutcome> => {
    signal.throwIfAborted();
    const job = { ...requestOf(kind, namespace, variants[variant].label), clients, requests: count, first: sent };
    sent += count;
    if (kind === 'pods') return bed.loadApiServer({ ...job, expect: variants[variant].expect });
    return bed.loadWebhook(variant === 'peer' ? 'peer' : 'podrate', { ...job, expect: '"patch":' });
  };

  /** Makes the namespaces, and lets code be compiled by running it. */
  const prepare = async () => {
    for (const [name, variant] of Object.entries(variants)) {
      await bed.makeNamespace(`bench-${name}`, variant);
      await load(name as VariantName, { kind: 'pods', namespace: `bench-${name}`, clients: 10, count: 300 });
    }
  };

  const fillCrowded = async () => {
    await bed.makeNamespace(crowded, variants['podrate-quota']);
    say(`${crowd[size]} pods for the crowded namespace`);
    await load('podrate-quota', { kind: 'pods', namespace: crowded, clients: 50, count: crowd[size] });
  };
  // With the first of its stage, so that all others of that stage run beside a crowd as well.
  const crowdedStage = runs.find(({ scenario }) => scenario.crowded)?.scenario.stage;
  const firstCrowded = runs.findIndex(({ scenario }) => scenario.stage === crowdedStage);

  await prepare();
  for (const [index, run] of runs.entries()) {
    const { scenario, variant, round } = run;
    const { kind, clients } = scenario;
    if (kind === 'pods') afterReviews ??= (await bed.memory()).most;
    if (index === firstCrowded) await fillCrowded();
    const isCounted = variant === 'podrate-quota' && !scenario.crowded;
    // What is counted begins at nothing, the ledger too.
    const fresh = isCounted ? `bench-${variant}-${index}` : undefined;
    if (fresh !== undefined) await bed.makeNamespace(fresh, variants[variant]);
    const namespace = kind === 'reviews' ? 'default' : scenario.crowded ? crowded : (fresh ?? `bench-${variant}`);
    await waitUntilQuiet(signal);
    const isWatched = kind === 'reviews' && variant === 'podrate';
    const watch = isWatched && setInterval(async () => samples.push((await bed.memory()).now), memoryIntervalMs);
    const outcome = await load(variant, { kind, namespace, clients, count: scenario.requests[size] });
    if (watch) clearInterval(watch);
    // The more pods there are, the larger is the API server's heap and the fewer but longer are its garbage collections, until it is chance
    // whether a run meets one.
    if (kind === 'pods' && !scenario.crowded) await bed.deletePods(namespace);
    const figures = figuresOf(outcome);
    const latencies = outcome.latencies.toSorted((one, other) => one - other);
    runResults.push({ scenario: scenario.name, variant, round, figures, latencies, failures: outcome.failures });
    const left = formatDuration((seconds() / (index + 1)) * (runs.length - index - 1));
    say(`[${index + 1}/${runs.length}, ${left} left] ${scenario.name}, ${variant}: ${brief(figures)}`);
  }

  const most = (await bed.memory()).most;
  const names = [...new Set(runs.map(({ scenario }) => scenario.name))];
  const results = summarizeRuns(
    scenarios.map(({ name }) => name),
    runResults,
  );
  const memory = { samples, afterReviews: afterReviews ?? most, afterAll: most };
  return {
    ...{ quick, rounds, machine: machine(), command: await shippedCommand() },
    ...{ seconds: seconds(), runs: runResults.map(({ latencies: _, ...run }) => run), results, memory },
    bars: judge(runResults, names, Math.random),
  };
}

async function shippedCommand(): Promise<string> {
  const { args, env } = await shippedStart();
  return [...Object.entries(env).map(([name, value]) => `${name}=${value}`), 'node', ...args].join(' ');
}

/** Computes a run's figures. */
function figuresOf({ seconds, latencies, failures }: LoadOutcome) {
  return {
    perSecond: latencies.length / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    failed: sum(Object.values(failures)),
  };
}

function brief({ perSecond, p50, p99, failed }: ReturnType<typeof figuresOf>): string {
  const text = `${formatValue(perSecond)}/s, p50 ${formatValue(p50)} ms, p99 ${formatValue(p99)} ms`;
  return failed === 0 ? text : `${text}, ${failed} FAILED`;
}

function machine(): Report['machine'] {
  return {
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    processors: availableParallelism(),
    node: process.version,
  };
}
