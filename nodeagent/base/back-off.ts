/** How long to wait before another try. */

/** First and longest wait, in ms; each wait doubles the one before. */
export interface BackOff {
  readonly first: number;
  readonly longest: number;
}

/**
 * Returns the wait in ms after `failures` failures before this one.
 * @param random a number from 0 to 1, which shortens it by up to a half, so that nodes do not try in step
 */
export function backOff({ first, longest }: BackOff, failures: number, random = 1): number {
  return Math.min(first * 2 ** Math.min(failures, 20), longest) * (0.5 + random / 2);
}
