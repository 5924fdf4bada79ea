/** The webhook's resident memory over the reviews, MB. */
export interface Memory {
  /** Sampled all along the reviews, in their order. */
  readonly samples: readonly number[];
  /** The most that it ever was until the last review, and until the end of everything, thousands of pods later. */
  readonly afterReviews: number;
  readonly afterAll: number;
}
