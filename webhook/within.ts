/**
 * Waits for an answer, but not for longer than a time: an answer that comes later, or fails then, is dropped.
 * @param ms milliseconds
 * @returns what the promise gives; undefined where that took too long
 * @throws what the promise rejects with in time
 */
export function within<T>(ms: number, promise: Promise<T>): Promise<{ readonly value: T } | undefined> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(resolve, ms, undefined);
    promise.then((value) => resolve({ value }), reject).finally(() => clearTimeout(late));
  });
}
