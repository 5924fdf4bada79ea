/**
 * Measures for how long keys have been there.
 * @param now milliseconds of a clock that never steps
 */
export function createStopwatches(now: () => number) {
  const since = new Map<string, number>();
  return {
    /** Starts those that are new, forgets those that are not named. */
    keep(keys: readonly string[]) {
      const named = new Set(keys);
      for (const key of since.keys()) if (!named.has(key)) since.delete(key);
      for (const key of named) if (!since.has(key)) since.set(key, now());
    },
    ms(key: string): number | undefined {
      const start = since.get(key);
      return start === undefined ? undefined : now() - start;
    },
  };
}
