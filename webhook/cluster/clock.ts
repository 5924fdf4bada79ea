import { setTimeout as delay } from 'node:timers/promises';

/** A clock that can be injected. */
export interface Clock {
  /** Milliseconds that never go back. */
  nowMs(): number;
  /** Waits; ends early, without an error, when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The real clock. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  async sleep(ms, signal) {
    // The only error of a delay is that it was ended.
    await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  },
};
