/** The value below which a part of the values lies (nearest rank); NaN of none. @param part 0 to 1 */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

/**
 * The percentile of the values of several lists together, each in ascending order; NaN of none. Nothing is joined or sorted, because
 * the bootstrap asks for it many times.
 * @param part 0 to 1
 */
export function jointPercentile(lists: readonly (readonly number[])[], part: number): number {
  const filled = lists.filter(({ length }) => length > 0);
  if (filled.length === 0) return Number.NaN;
  const rank = Math.max(1, Math.ceil(part * sum(filled.map(({ length }) => length))));
  let below = Math.min(...filled.map(([first = 0]) => first)) - 1;
  let above = Math.max(...filled.map((list) => list.at(-1) ?? 0));
  // Halved until no number is between: then the upper one is the smallest that is large enough, which is one of the values.
  for (;;) {
    const middle = below + (above - below) / 2;
    if (middle <= below || middle >= above) return above;
    if (sum(filled.map((list) => countUpTo(list, middle))) >= rank) above = middle;
    else below = middle;
  }
}

function countUpTo(sorted: readonly number[], most: number): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((sorted[middle] ?? most) <= most) from = middle + 1;
    else to = middle;
  }
  return from;
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
