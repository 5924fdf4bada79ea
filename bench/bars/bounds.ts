import type { FigureName } from '../figures/definitions.ts';
import type { ScenarioResult } from '../figures/results.ts';
import type { Scenario } from '../scenario.ts';
import type { Bar, Bounds } from './bar.ts';

/** The plugin with a sane burst: with containerd's burst its first second has no limit, and its queues are longer. */
const reference = ({ peers }: ScenarioResult, figure: FigureName) => peers['cni-sane']?.[figure];

/** Fixed bounds. */
export const always =
  (bounds: Bounds): Bar['bounds'] =>
  () =>
    bounds;

/** At most `factor` times the CNI plugin's figure. */
export const timesPlugin =
  (factor: number, figure: FigureName): Bar['bounds'] =>
  (result) => {
    const value = reference(result, figure);
    return value === undefined ? undefined : { most: factor * value };
  };

/** At least `factor` times the CNI plugin's figure. */
export const partOfPlugin =
  (factor: number, figure: FigureName): Bar['bounds'] =>
  (result) => {
    const value = reference(result, figure);
    return value === undefined ? undefined : { least: factor * value };
  };

/** At most `factor` times the pod's own ping before the load. */
export const timesIdle =
  (factor: number): Bar['bounds'] =>
  (_, own) =>
    own.idlePing === undefined ? undefined : { most: factor * own.idlePing };

/** At least `factor` times podrate's own figure of another scenario. @param name returns the other scenario's name */
export const partOfScenario =
  (factor: number, figure: FigureName, name: (scenario: Scenario) => string): Bar['bounds'] =>
  ({ scenario }, _, all) => {
    const other = all.find((result) => result.scenario.name === name(scenario));
    const value = other?.peers.podrate?.[figure];
    return value === undefined ? undefined : { least: factor * value };
  };
