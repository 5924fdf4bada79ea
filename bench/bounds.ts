import type { Bar, Bounds } from './bar.ts';
import type { FigureName } from './definitions.ts';
import type { ScenarioResult } from './results.ts';

/** The plugin with a sane burst: with containerd's it has a first second without limit, longer queues and wider swings. */
const reference = ({ peers }: ScenarioResult, figure: FigureName) => peers['cni-sane']?.[figure];

/** The same bounds whatever the others do. */
export const always =
  (bounds: Bounds): Bar['bounds'] =>
  () =>
    bounds;

/** At most so many times what the CNI plugin has. */
export const timesPlugin =
  (factor: number, figure: FigureName): Bar['bounds'] =>
  (result) => {
    const value = reference(result, figure);
    return value === undefined ? undefined : { most: factor * value };
  };

/** At least so much of what the CNI plugin has. */
export const partOfPlugin =
  (factor: number, figure: FigureName): Bar['bounds'] =>
  (result) => {
    const value = reference(result, figure);
    return value === undefined ? undefined : { least: factor * value };
  };

/** At most so many times the pod's own ping before the load. */
export const timesIdle =
  (factor: number): Bar['bounds'] =>
  (_, own) =>
    own.idlePing === undefined ? undefined : { most: factor * own.idlePing };
