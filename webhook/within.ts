/**
 * Waits for an answer, but not for longer than a time: an answer that comes later, or fails then, is dropped.
 * @param ms milliseconds
 * @returns what the promise gives, or `late` where that took too long
 * @throws what the promise rejects with in time
 */
export function within<T, const Late>(ms: number, promise: Promise<T>, late: Late): Promise<T | Late> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms, late);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
