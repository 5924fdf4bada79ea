import type { PeerName } from './peers/all.ts';
import type { Scenario } from './scenario.ts';
import { shuffled } from './shuffled.ts';

/** One run: a scenario with one peer, in one round. */
export interface Run {
  readonly scenario: Scenario;
  readonly peer: PeerName;
  readonly round: number;
}

/** What to run. */
export interface PlanOptions {
  readonly quick: boolean;
  readonly rounds: number;
  /** Words that must all be in a scenario's name, or name the peer. */
  readonly only: readonly string[];
  /** Words of which none may be there. */
  readonly not: readonly string[];
}

/** What a run takes beside its traffic: programs that start and end, limits, idle pings. */
const AROUND_SECONDS = 0.9;

/**
 * All runs, scenario by scenario so that peers are compared minutes apart at most; within a scenario in random order, each round anew.
 *
 * @param random Numbers from 0 to below 1.
 */
export function planRuns(scenarios: readonly Scenario[], options: PlanOptions, random: () => number): Run[] {
  return scenarios.flatMap((scenario) => {
    const peers = ((options.quick ? scenario.quick : scenario.peers) ?? []).filter((peer) =>
      picked(scenario, peer, options),
    );
    return Array.from({ length: options.rounds }, (_, round) =>
      shuffled(peers, random).map((peer): Run => ({ scenario, peer, round })),
    ).flat();
  });
}

/** How long a run's traffic lasts, in seconds. */
export function trafficSeconds({ scenario }: Pick<Run, 'scenario'>, quick: boolean): number {
  return scenario.kind === 'many' ? 0 : scenario.seconds[quick ? 'quick' : 'full'];
}

/** About how long the runs take, in seconds. */
export function estimateSeconds(runs: readonly Run[], quick: boolean): number {
  return runs.reduce((total, run) => total + trafficSeconds(run, quick) + AROUND_SECONDS, 0);
}

function picked(scenario: Scenario, peer: PeerName, { only, not }: PlanOptions): boolean {
  const words = [...scenario.name.split(' '), peer];
  return only.every((word) => words.includes(word)) && !not.some((word) => words.includes(word));
}
