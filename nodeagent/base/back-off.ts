/** How long to wait before another try. */

/** First and longest wait, in ms; each wait doubles the one before. */
export interface BackOff {
  readonly first: number;
  readonly longest: number;
}

/** The wait in ms after `failures` failures before this one. */
export function backOff({ first, longest }: BackOff, failures: number): number {
  return Math.min(first * 2 ** Math.min(failures, 20), longest);
}

/**
 * The same, shortened at random by up to a half, so that nodes do not try in step.
 * @param random a number from 0 to below 1
 */
export function backOffWithJitter(waits: BackOff, failures: number, random: number): number {
  return backOff(waits, failures) * (0.5 + random / 2);
}
