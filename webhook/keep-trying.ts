import type { Clock } from './clock.ts';

/** How work goes on that may fail. */
export interface KeepTryingOptions {
  readonly clock: Clock;
  /** Called when the work failed; gives the wait before another try, in ms. */
  readonly onError: (error: unknown, failuresInARow: number) => number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Does work again and again until the signal is aborted, also after it failed.
 * @param work is given what it calls once the API server did as it was asked: failures count anew from there
 */
export async function keepTrying(
  { clock, onError, signal }: KeepTryingOptions,
  work: (worked: () => void) => Promise<void>,
): Promise<void> {
  let failures = 0;
  const worked = () => {
    failures = 0;
  };
  while (!signal.aborted) {
    try {
      await work(worked);
    } catch (error) {
      if (signal.aborted) return;
      await clock.sleep(onError(error, failures), signal);
      failures += 1;
    }
  }
}
