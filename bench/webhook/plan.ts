import { shuffled } from '../shuffled.ts';
import { type Scenario, stages } from './scenarios.ts';
import type { VariantName } from './variants.ts';

/** One run: a scenario with one variant, in one round, of which there may be several. */
export interface Run {
  readonly scenario: Scenario;
  readonly variant: VariantName;
  readonly round: number;
}

/**
 * All runs: stage by stage, each round by round, and each round in an order of its own, so that what drifts meets everybody alike.
 *
 * @param random Numbers from 0 to below 1.
 */
export function planRuns(scenarios: readonly Scenario[], rounds: number, random: () => number): Run[] {
  const round = (stage: Scenario['stage'], number: number) =>
    shuffled(
      scenarios
        .filter((scenario) => scenario.stage === stage)
        .flatMap((scenario) =>
          Array.from({ length: scenario.times }, () =>
            scenario.variants.map((variant): Run => ({ scenario, variant, round: number })),
          ).flat(),
        ),
      random,
    );
  return stages.flatMap((stage) => Array.from({ length: rounds }, (_, number) => round(stage, number)).flat());
}
