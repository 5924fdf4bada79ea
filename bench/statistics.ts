/** The value below which a part of the values lies (nearest rank); NaN of none. @param part 0 to 1 */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const half = sorted.length / 2;
  const [lower, upper] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]];
  return lower === undefined || upper === undefined ? Number.NaN : (lower + upper) / 2;
}

/** The mean; NaN of none. */
export const mean = (values: readonly number[]): number => sum(values) / values.length;

/** Sum of values. */
export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Standard deviation of the values themselves, not of a population they were drawn from. */
export function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

/** Jain's fairness index: 1 when all are equal, 1/n when one has everything (Jain, Chiu, Hawe, DEC-TR-301, 1984). */
export const jain = (values: readonly number[]): number =>
  sum(values) ** 2 / (values.length * sum(values.map((value) => value ** 2)));
