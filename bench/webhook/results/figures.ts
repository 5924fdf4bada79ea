/** Figures of one run, or of all runs of a scenario; what was not measured is absent. */
export interface Figures {
  /** Requests that were answered as expected, per second. */
  readonly perSecond?: number;
  /** Latency, ms. */
  readonly p50?: number;
  /** Latency, ms. */
  readonly p99?: number;
  /** Requests that failed, or were answered otherwise. */
  readonly failed?: number;
}
export type FigureName = keyof Figures;
