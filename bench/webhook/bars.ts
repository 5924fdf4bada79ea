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

/**
 * Judges what was measured by what the webhook promises. The same rows as the table in docs/benchmark.md.
 * @param planned the names of the scenarios that were to run: bars about others are left out
 */
export function judge(results: readonly ScenarioResult[], memory: Memory, planned: readonly string[]): Judgement[] {
  const figure = (scenario: string, variant: VariantName, name: FigureName) =>
    results.find((result) => result.scenario === scenario)?.variants[variant]?.[name] ?? Number.NaN;
  const added = (scenario: string, variant: VariantName) =>
    figure(scenario, variant, 'p99') - figure(scenario, 'none', 'p99');
  // A peer that seems to add nothing was measured among too much noise.
  const againstPeer = (scenario: string, peer: VariantName) =>
    added(scenario, peer) > 0 ? added(scenario, 'podrate') / added(scenario, peer) : Number.NaN;
  const failed = (variant: VariantName) => figure('pods, 1,000 clients', variant, 'failed');
  const [reviews, one, hundred, thousand] = [
    'reviews, 100 clients',
    'pods, 1 client',
    'pods, 100 clients',
    'pods, 1,000 clients',
  ];
  const [empty, crowded] = ['pods, empty namespace, 1 client', 'pods, crowded namespace, 1 client'];
  const crowding = (name: FigureName) => figure(crowded, 'podrate-quota', name) / figure(empty, 'podrate-quota', name);
  const mutates = 'the same, against the peer that only mutates';
  const rows: [bar: string, scenarios: string[], value: number, bound: number][] = [
    ['p99 added to a create, against the peer, 1 client', [one], againstPeer(one, 'peer'), 1.3],
    ['p99 added to a create, against the peer, 100 clients', [hundred], againstPeer(hundred, 'peer'), 1.3],
    [`${mutates}, 1 client`, [one], againstPeer(one, 'peer-mutate'), 1.3],
    [`${mutates}, 100 clients`, [hundred], againstPeer(hundred, 'peer-mutate'), 1.3],
    ['failed creates, 1,000 in flight', [thousand], failed('podrate'), 0],
    ['failed creates, 1,000 in flight, quota', [thousand], failed('podrate-quota'), 0],
    ['create p50 in a crowded namespace, against an empty one', [crowded, empty], crowding('p50'), 1.1],
    ['create p99 in a crowded namespace, against an empty one', [crowded, empty], crowding('p99'), 1.3],
    ['resident memory after the reviews (MB)', [reviews], memory.afterReviews, 200],
    ['resident memory after everything (MB)', [thousand], memory.afterAll, 200],
    ['growth of memory from the first to the second half of the reviews', [reviews], growth(memory.samples), 1.05],
  ];
  return rows
    .filter(([, scenarios]) => scenarios.every((name) => planned.includes(name)))
    .map(([bar, , value, most]) => ({ bar, value, bounds: { most }, missedBy: outside(value, { most }) }));
}
