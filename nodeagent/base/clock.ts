/** Time and chance, which tests replace. */

/** A clock that can be injected. */
export interface Clock {
  /** Calls back once after a time in ms. @returns what takes the call back */
  after(ms: number, callback: () => void): () => void;
  /** A number from 0 to below 1. */
  random(): number;
}

/** The real clock. */
export const realClock: Clock = {
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};
