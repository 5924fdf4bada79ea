import { type Bounds, outside } from '../bar.ts';
import type { FigureName } from './definitions.ts';
import { growth, type Memory } from './memory.ts';
import type { ScenarioResult } from './results.ts';
import type { VariantName } from './variants.ts';

/** A bar with what was measured. */
export interface Judgement {
  readonly bar: string;
  readonly value: number;
  readonly bounds: Bounds;
  /** How far outside, in the value's own unit; 0 when met, infinite when there is no value. */
  readonly missedBy: number;
}

/** Judges what was measured by what the webhook promises. The same rows as the table in docs/benchmark.md. */
export function judge(results: readonly ScenarioResult[], memory: Memory): Judgement[] {
  const figure = (scenario: string, variant: VariantName, name: FigureName) =>
    results.find((result) => result.scenario === scenario)?.variants[variant]?.[name] ?? Number.NaN;
  const added = (scenario: string, variant: VariantName) =>
    figure(scenario, variant, 'p99') - figure(scenario, 'none', 'p99');
  // A peer that seems to add nothing was measured among too much noise.
  const againstPeer = (scenario: string, peer: VariantName) =>
    added(scenario, peer) > 0 ? added(scenario, 'podrate') / added(scenario, peer) : Number.NaN;
  const crowding = (name: FigureName) =>
    figure('pods, crowded namespace, 1 client', 'podrate-quota', name) /
    figure('pods, empty namespace, 1 client', 'podrate-quota', name);
  const most = (bar: string, value: number, bound: number): Judgement => {
    const bounds = { most: bound };
    return { bar, value, bounds, missedBy: outside(value, bounds) };
  };
  return [
    most('p99 added to a create, against the peer, 1 client', againstPeer('pods, 1 client', 'peer'), 1.3),
    most('p99 added to a create, against the peer, 100 clients', againstPeer('pods, 100 clients', 'peer'), 1.3),
    most('the same, against the peer that only mutates, 1 client', againstPeer('pods, 1 client', 'peer-mutate'), 1.3),
    most(
      'the same, against the peer that only mutates, 100 clients',
      againstPeer('pods, 100 clients', 'peer-mutate'),
      1.3,
    ),
    most('failed creates, 1,000 in flight', figure('pods, 1,000 clients', 'podrate', 'failed'), 0),
    most('failed creates, 1,000 in flight, quota', figure('pods, 1,000 clients', 'podrate-quota', 'failed'), 0),
    most('create p50 in a crowded namespace, against an empty one', crowding('p50'), 1.1),
    most('create p99 in a crowded namespace, against an empty one', crowding('p99'), 1.3),
    most('resident memory after the reviews (MB)', memory.afterReviews, 200),
    most('resident memory after everything (MB)', memory.afterAll, 200),
    most('growth of memory from the first to the second half of the reviews', growth(memory.samples), 1.05),
  ];
}
