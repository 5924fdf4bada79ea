import type { Clock } from '../cluster/clock.ts';
import { type Grant, grantKey, type Ledger } from './ledger.ts';
import type { LedgerStore, StoredLedger } from './ledger-store.ts';

/** The grants that were too old at one moment. */
export interface Expired {
  readonly isEmpty: boolean;
  has(grant: Grant): boolean;
}

/** The answer where no grant is too old. */
export const noneExpired: Expired = { isEmpty: true, has: () => false };

/** What {@link createKnownLedgers} works with. */
export interface KnownLedgersOptions {
  readonly store: LedgerStore;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** How long a grant can take effect, in ms. */
  readonly lifeMs: number;
  /** Called for each attempt to write a ledger; conflict: another replica was first. */
  readonly onSwap: (outcome: 'done' | 'conflict') => void;
}

/**
 * Builds the knowledge of a replica that has just started. Each replica measures how long it has seen a grant itself,
 * with a clock that never goes back: no two clocks are compared, and one that is set cannot end a grant early. A
 * restart begins anew, which is only later.
 */
export function createKnownLedgers({ store, clock, lifeMs, onSwap }: KnownLedgersOptions) {
  /** As they were last read or written, by namespace. */
  const all = new Map<string, StoredLedger>();
  const seenMs = new Map<string, ReadonlyMap<string, number>>();

  const learn = (namespace: string, stored: StoredLedger | undefined) => {
    const before = seenMs.get(namespace);
    const now = clock.nowMs();
    const keys = stored?.ledger.grants.map(grantKey) ?? [];
    seenMs.set(namespace, new Map(keys.map((key) => [key, before?.get(key) ?? now])));
    if (keys.length === 0) seenMs.delete(namespace);
    if (stored === undefined) all.delete(namespace);
    else all.set(namespace, stored);
    return stored;
  };
  /** Reads a ledger; undefined if there is none. @throws QuotaError, ApiFailure */
  const read = async (namespace: string) => learn(namespace, await store.read(namespace));
  return {
    all: all as ReadonlyMap<string, StoredLedger>,
    read,
    /**
     * Returns the ledger as last seen, which saves a read; undefined if there is none. @throws QuotaError, ApiFailure
     */
    recall: async (namespace: string) => all.get(namespace) ?? read(namespace),
    /**
     * Writes a ledger unless it has changed since it was read. @returns whether it was written @throws QuotaError,
     * ApiFailure
     */
    async write(namespace: string, ledger: Ledger, stored: StoredLedger | undefined) {
      const written = await store.write(namespace, ledger, stored);
      onSwap(written === undefined ? 'conflict' : 'done');
      if (written !== undefined) learn(namespace, { ...written, ledger });
      return written !== undefined;
    },
    /** Returns the grants of a namespace that are too old now to take effect. */
    expired(namespace: string): Expired {
      const limit = clock.nowMs() - lifeMs;
      const entries = [...(seenMs.get(namespace) ?? [])];
      const keys = new Set(entries.filter(([, sinceMs]) => sinceMs <= limit).map(([key]) => key));
      return { isEmpty: keys.size === 0, has: (grant) => keys.has(grantKey(grant)) };
    },
  };
}
