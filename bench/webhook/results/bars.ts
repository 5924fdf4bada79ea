import { type Bounds, outside } from '../../bars/bar.ts';
import type { VariantName } from '../variants.ts';
import type { FigureName } from './figures.ts';
import { interval } from './interval.ts';
import { type RunResult, summarizeRuns } from './results.ts';

/** A bar with what was measured. */
export interface Judgement {
  readonly bar: string;
  readonly value: number;
  /** Where the value lies in nine of ten cases, by how the runs scatter; absent where it is no ratio, or of too few runs. */
  readonly interval?: readonly [low: number, high: number];
  readonly bounds: Bounds;
  /** How far outside, in the value's own unit; 0 when met, infinite when there is no value. */
  readonly missedBy: number;
}

/** A figure of all runs of a scenario; NaN if it was not measured. */
type Figure = (scenario: string, variant: VariantName, name: FigureName) => number;

/** What the webhook promises about scenarios. The same rows as the table in docs/benchmark.md. */
interface Bar {
  readonly bar: string;
  readonly scenarios: readonly string[];
  readonly value: (figure: Figure) => number;
  readonly most: number;
}

const [one, hundred, thousand] = ['pods, 1 client', 'pods, 100 clients', 'pods, 1,000 clients'] as const;
const [empty, crowded] = ['pods, empty namespace, 1 client', 'pods, crowded namespace, 1 client'] as const;

const bars: readonly Bar[] = [
  againstPeer('p99 added to a create, against the peer, 1 client', one, 'peer'),
  againstPeer('p99 added to a create, against the peer, 100 clients', hundred, 'peer'),
  againstPeer('the same, against the peer that only mutates, 1 client', one, 'peer-mutate'),
  againstPeer('the same, against the peer that only mutates, 100 clients', hundred, 'peer-mutate'),
  failures('failed creates, 1,000 in flight', 'podrate'),
  failures('failed creates, 1,000 in flight, quota', 'podrate-quota'),
  crowding('create p50 in a crowded namespace, against an empty one', 'p50', 1.1),
  crowding('create p99 in a crowded namespace, against an empty one', 'p99', 1.3),
];

/**
 * Judges what was measured by what the webhook promises.
 * @param planned the names of the scenarios that were to run: bars about others are left out
 * @param random numbers from 0 to below 1
 */
export function judge(runs: readonly RunResult[], planned: readonly string[], random: () => number): Judgement[] {
  const isPlanned = (scenarios: readonly string[]) => scenarios.every((name) => planned.includes(name));
  return bars.filter(({ scenarios }) => isPlanned(scenarios)).map((bar) => judgeBar(bar, runs, random));
}

function judgeBar({ bar, scenarios, value, most }: Bar, runs: readonly RunResult[], random: () => number): Judgement {
  const own = runs.filter(({ scenario }) => scenarios.includes(scenario));
  const statistic = (some: readonly RunResult[]) => {
    const results = summarizeRuns(scenarios, some);
    return value(
      (scenario, variant, name) =>
        results.find((result) => result.scenario === scenario)?.variants[variant]?.[name] ?? Number.NaN,
    );
  };
  const [found, scatter] = [statistic(own), most === 0 ? undefined : interval(own, statistic, random)];
  const bounds = { most };
  return { bar, value: found, ...(scatter && { interval: scatter }), bounds, missedBy: outside(found, bounds) };
}

function againstPeer(bar: string, scenario: string, peer: VariantName): Bar {
  const value = (figure: Figure) => {
    const added = (variant: VariantName) => figure(scenario, variant, 'p99') - figure(scenario, 'none', 'p99');
    // A peer that seems to add nothing was measured among too much noise.
    return added(peer) > 0 ? added('podrate') / added(peer) : Number.NaN;
  };
  return { bar, scenarios: [scenario], value, most: 1.5 };
}

function failures(bar: string, variant: VariantName): Bar {
  return { bar, scenarios: [thousand], value: (figure) => figure(thousand, variant, 'failed'), most: 0 };
}

function crowding(bar: string, name: FigureName, most: number): Bar {
  const value = (figure: Figure) => figure(crowded, 'podrate-quota', name) / figure(empty, 'podrate-quota', name);
  return { bar, scenarios: [crowded, empty], value, most };
}
