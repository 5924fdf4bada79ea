import type { PeerName } from '../peers/all.ts';
import type { Scenario } from '../scenario.ts';
import { definitions, type FigureName, type Figures } from './definitions.ts';
import { median } from './statistics.ts';

/** The figures of one run. */
export interface RunResult {
  readonly scenario: string;
  readonly peer: PeerName;
  readonly round: number;
  readonly figures: Figures;
}

/** One scenario: the median of each figure over the rounds, for each peer that ran. */
export interface ScenarioResult {
  readonly scenario: Scenario;
  readonly peers: Readonly<Partial<Record<PeerName, Figures>>>;
}

/** Takes the medians, scenario by scenario in the order given; scenarios without runs are left out. */
export function summarizeRuns(scenarios: readonly Scenario[], runs: readonly RunResult[]): ScenarioResult[] {
  return scenarios.flatMap((scenario) => {
    const own = runs.filter((run) => run.scenario === scenario.name);
    const names = [...new Set(own.map(({ peer }) => peer))];
    const peers = names.map((peer) => [
      peer,
      medians(own.filter((run) => run.peer === peer).map(({ figures }) => figures)),
    ]);
    return own.length === 0 ? [] : [{ scenario, peers: Object.fromEntries(peers) }];
  });
}

function medians(list: readonly Figures[]): Figures {
  const names = (Object.keys(definitions) as FigureName[]).filter((name) => list.some((figures) => name in figures));
  const middle = (name: FigureName) =>
    median(list.flatMap((figures) => (figures[name] === undefined ? [] : [figures[name]])));
  return Object.fromEntries(names.map((name) => [name, middle(name)]));
}
