import { type Grant, grantKey } from './ledger.ts';

/**
 * Tells which grants are too old to take effect. Each replica measures how long it has seen a grant itself, with a clock that never
 * goes back: no two clocks are compared, and one that is set cannot end a grant early. A restart begins anew, which is only later.
 */
export interface Sightings {
  /** Takes note of what is in a namespace's ledger now, and forgets what is not. */
  note(namespace: string, grants: readonly Grant[]): void;
  /** The grants of a namespace that have been seen for longer than their life. */
  expired(namespace: string): ReadonlySet<string>;
}

/** Builds an empty memory. */
export function createSightings(lifeMs: number, nowMs: () => number): Sightings {
  const seen = new Map<string, Map<string, number>>();
  return {
    note(namespace, grants) {
      const before = seen.get(namespace);
      const now = nowMs();
      if (grants.length === 0) seen.delete(namespace);
      else {
        const keys = grants.map(grantKey);
        seen.set(namespace, new Map(keys.map((key) => [key, before?.get(key) ?? now])));
      }
    },
    expired(namespace) {
      const limit = nowMs() - lifeMs;
      const entries = [...(seen.get(namespace) ?? [])];
      return new Set(entries.filter(([, sinceMs]) => sinceMs <= limit).map(([key]) => key));
    },
  };
}
