/** Errors as values. */

/** What was thrown, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Runs a task. @returns what it threw, if anything */
export function errorOf(task: () => void): Error | undefined {
  try {
    task();
    return undefined;
  } catch (thrown) {
    return toError(thrown);
  }
}

/** Reads something. @returns undefined where that fails */
export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
