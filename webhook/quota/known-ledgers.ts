import type { Clock } from '../clock.ts';
import { type Grant, grantKey, type Ledger, mergeLedgers } from './ledger.ts';
import type { LedgerStore, StoredLedger } from './ledger-store.ts';
import { createSightings } from './sightings.ts';

/** What is known of a namespace's ledger. */
export interface Known {
  /** As stored when last read or written; undefined if somebody deleted it. */
  readonly stored: StoredLedger | undefined;
  /** That, and what it lost when it was deleted. */
  readonly ledger: Ledger;
}

/** What one replica knows of the ledgers, and since when of their grants. */
export interface KnownLedgers {
  /** By namespace. */
  readonly all: ReadonlyMap<string, Known>;
  /** The ledger as last seen, which saves a read, unless other replicas seem to change it as well. @throws QuotaError, ApiFailure */
  recall(namespace: string): Promise<Known | undefined>;
  /** Reads a ledger anew; undefined if there is none and never was. @throws QuotaError, ApiFailure */
  read(namespace: string): Promise<Known | undefined>;
  /** Writes a ledger unless it is another one than was read. @returns whether it was written @throws QuotaError, ApiFailure */
  write(namespace: string, ledger: Ledger, stored: StoredLedger | undefined): Promise<boolean>;
  forget(namespace: string): void;
  /** Tells of a namespace's grants which are too old now to take effect. */
  expired(namespace: string): Expired;
}

/** The grants that were too old at one moment. */
export interface Expired {
  readonly isEmpty: boolean;
  has(grant: Grant): boolean;
}

/** No grant is too old. */
export const noneExpired: Expired = { isEmpty: true, has: () => false };

/** What {@link createKnownLedgers} works with. */
export interface KnownLedgersOptions {
  readonly store: LedgerStore;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** How long a grant can take effect, in ms. */
  readonly lifeMs: number;
  /** Told of each try to write a ledger, and whether another replica was first. */
  readonly onSwap: (outcome: 'done' | 'conflict') => void;
}

/** Builds the knowledge of a replica that has just started. */
export function createKnownLedgers({ store, clock, lifeMs, onSwap }: KnownLedgersOptions): KnownLedgers {
  const all = new Map<string, Known>();
  const shared = new Set<string>();
  const sightings = createSightings(lifeMs, clock.nowMs);

  const learn = (namespace: string, known: Known) => {
    all.set(namespace, known);
    sightings.note(namespace, known.ledger.grants);
    return known;
  };
  const read = async (namespace: string) => {
    const stored = await store.read(namespace);
    const before = all.get(namespace);
    if (stored?.metadata.resourceVersion === before?.stored?.metadata.resourceVersion) shared.delete(namespace);
    if (stored === undefined) return before && learn(namespace, { stored, ledger: before.ledger });
    // Somebody deleted the ledger, and another replica made it anew without what only this one knew.
    const isOther = before !== undefined && before.stored?.metadata.uid !== stored.metadata.uid;
    return learn(namespace, { stored, ledger: isOther ? mergeLedgers(stored.ledger, before.ledger) : stored.ledger });
  };
  return {
    all,
    read,
    recall: async (namespace) => (shared.has(namespace) ? undefined : all.get(namespace)) ?? read(namespace),
    async write(namespace, ledger, stored) {
      const written = await store.write(namespace, ledger, stored);
      onSwap(written === undefined ? 'conflict' : 'done');
      if (written === undefined) shared.add(namespace);
      else learn(namespace, { stored: written, ledger });
      return written !== undefined;
    },
    forget(namespace) {
      all.delete(namespace);
      shared.delete(namespace);
      sightings.note(namespace, []);
    },
    expired(namespace) {
      const keys = sightings.expired(namespace);
      return { isEmpty: keys.size === 0, has: (grant) => keys.has(grantKey(grant)) };
    },
  };
}
