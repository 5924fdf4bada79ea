import { percentile } from '../../figures/statistics.ts';
import type { RunResult } from './results.ts';

const draws = 500;
/** Fewer runs of one kind say nothing about how they scatter. */
const fewest = 3;

/**
 * Between which values a statistic lies in nine of ten cases when the runs that it is taken from are drawn anew from themselves,
 * scenario by scenario and variant by variant (percentile bootstrap; Efron, The Annals of Statistics 7(1), 1979). A case without a
 * value counts as infinite.
 *
 * @param random Numbers from 0 to below 1.
 * @returns undefined with too few runs
 */
export function interval(
  runs: readonly RunResult[],
  statistic: (runs: readonly RunResult[]) => number,
  random: () => number,
): readonly [low: number, high: number] | undefined {
  const kinds = Object.values(
    Object.groupBy(runs, ({ scenario, variant }) => `${scenario}/${variant}`),
  ) as RunResult[][];
  if (kinds.length === 0 || kinds.some((kind) => kind.length < fewest)) return undefined;
  const drawn = (kind: readonly RunResult[]) => kind.map((run) => kind[Math.floor(random() * kind.length)] ?? run);
  const values = Array.from({ length: draws }, () => {
    const value = statistic(kinds.flatMap(drawn));
    return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
  });
  return [percentile(values, 0.05), percentile(values, 0.95)];
}
