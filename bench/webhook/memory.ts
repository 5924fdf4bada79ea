/** The webhook's resident memory over the reviews, MB. */
export interface Memory {
  /** Sampled all along the reviews, in their order. */
  readonly samples: readonly number[];
  /** The most that it ever was until the last review, and until the end of everything, thousands of pods later. */
  readonly afterReviews: number;
  readonly afterAll: number;
}

/** How much more the second half of the samples reaches than the first: 1 is flat. */
export function growth(samples: readonly number[]): number {
  const half = Math.floor(samples.length / 2);
  return Math.max(...samples.slice(half)) / Math.max(...samples.slice(0, half));
}
