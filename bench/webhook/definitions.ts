/** Figures of one run by name; what a run does not have is absent. */
export type Figures = Partial<Record<FigureName, number>>;

/** What the figures are and in which unit. */
export const definitions = {
  perSecond: 'requests that were answered as expected, per second',
  p50: 'latency p50, ms',
  p99: 'latency p99, ms',
  failed: 'requests that failed, or were answered otherwise',
} as const;
export type FigureName = keyof typeof definitions;
