import type { Clock } from '../cluster/clock.ts';
import { grantKey, type Ledger } from './ledger.ts';
import type { LedgerStore, StoredLedger } from './ledger-store.ts';

interface KnownLedger extends StoredLedger {
  /** When each grant was first seen. */
  readonly seenMs: ReadonlyMap<string, number>;
}

/**
 * Builds the knowledge of a replica that has just started. Its methods throw ApiFailure. Each replica
 * measures how long it has seen a grant itself, with a clock that never goes back: no two clocks are compared, and one
 * that is set cannot end a grant early. A restart begins anew, which is only later.
 * @param lifeMs how long a grant can take effect, in ms
 */
export function createKnownLedgers(store: LedgerStore, clock: Pick<Clock, 'nowMs'>, lifeMs: number) {
  /** As they were last read or written, by namespace. */
  const all = new Map<string, KnownLedger>();

  const learn = (namespace: string, stored: StoredLedger | undefined) => {
    const before = all.get(namespace)?.seenMs;
    all.delete(namespace);
    if (stored === undefined) return undefined;
    const nowMs = clock.nowMs();
    const keys = stored.ledger.grants.map(grantKey);
    all.set(namespace, { ...stored, seenMs: new Map(keys.map((key) => [key, before?.get(key) ?? nowMs])) });
    return stored;
  };
  /** Reads a ledger; undefined if there is none. */
  const read = async (namespace: string) => learn(namespace, await store.read(namespace));
  return {
    all: all as ReadonlyMap<string, StoredLedger>,
    read,
    /** Returns the ledger as last seen, which saves a read; undefined if there is none. */
    recall: async (namespace: string): Promise<StoredLedger | undefined> => all.get(namespace) ?? read(namespace),
    /** Writes a ledger unless it has changed since it was read. @returns whether it was written */
    async write(namespace: string, ledger: Ledger, stored: StoredLedger | undefined) {
      const written = await store.write(namespace, ledger, stored);
      if (written !== undefined) learn(namespace, { ...written, ledger });
      return written !== undefined;
    },
    /** Returns the keys of a namespace's grants that are too old now to take effect. */
    expired(namespace: string): ReadonlySet<string> {
      const limit = clock.nowMs() - lifeMs;
      const entries = [...(all.get(namespace)?.seenMs ?? [])];
      return new Set(entries.filter(([, sinceMs]) => sinceMs <= limit).map(([key]) => key));
    },
  };
}
