import type { QuotaClock } from './clock.ts';
import { type Claim, decide, type QuotaAnswer } from './decide.ts';
import { QuotaError } from './errors.ts';
import { grantKey, isSameLedger, type Ledger, mergeLedgers, newLedger } from './ledger.ts';
import type { LedgerStore, StoredLedger } from './ledger-store.ts';
import type { Count, PodTable } from './pod-table.ts';
import { settle } from './settle.ts';
import { createSightings } from './sightings.ts';

/** What is known of a namespace's ledger. */
export interface Known {
  /** As stored when last read or written; undefined if somebody deleted it. */
  readonly stored: StoredLedger | undefined;
  /** That, and what it lost when it was deleted. */
  readonly ledger: Ledger;
}

/** Times and bounds, in milliseconds unless they say otherwise. */
export interface SwapLimits {
  /** How long a grant can take effect. */
  readonly lifeMs: number;
  /** How long to wait for the watch to tell what another replica has seen already. */
  readonly lagMs: number;
  /** How long to try before giving up. */
  readonly patienceMs: number;
  /** How long to wait after a ledger was deleted, for other replicas to write again what they know. */
  readonly mournMs: number;
  /** Up to how many pods a refusal is made only on a count made anew; more make it too slow. */
  readonly recountPods: number;
  /** How many grants a ledger can hold: an object in etcd has at most 1.5 MB. */
  readonly maxGrants: number;
}

/** What swaps are made with. */
export interface SwapParts {
  readonly store: LedgerStore;
  /** The pods, as a watch tells them. */
  readonly table: PodTable;
  /** Counts a namespace's pods anew. */
  readonly countNow: (namespace: string) => Promise<Count>;
  readonly clock: QuotaClock;
  readonly limits: SwapLimits;
  /** Told of each try to write a ledger, and whether another replica was first. */
  readonly onSwap: (outcome: 'done' | 'conflict') => void;
}

/** Decides about batches of claims. */
export interface Swaps {
  /**
   * Decides about claims on one namespace and takes out of its ledger what is settled. To be run once at a time for a namespace.
   * Without claims it only does the latter. @throws QuotaError
   */
  run(namespace: string, claims: readonly Claim[]): Promise<readonly QuotaAnswer[]>;
  /** The ledgers that are known here. */
  readonly known: ReadonlyMap<string, Known>;
}

const none: ReadonlySet<string> = new Set();

/** Builds swaps that know no ledger yet. */
export function createSwaps({ store, table, countNow, clock, limits, onSwap }: SwapParts): Swaps {
  const known = new Map<string, Known>();
  const sightings = createSightings(limits.lifeMs, clock.nowMs);

  const learn = (namespace: string, now: Known) => {
    known.set(namespace, now);
    sightings.note(namespace, now.ledger.grants);
    return now;
  };
  const read = async (namespace: string): Promise<Known | undefined> => {
    const stored = await store.read(namespace);
    const before = known.get(namespace);
    if (stored === undefined) return before && learn(namespace, { stored, ledger: before.ledger });
    const isOther = before !== undefined && before.stored?.metadata.uid !== stored.metadata.uid;
    return learn(namespace, { stored, ledger: isOther ? mergeLedgers(stored.ledger, before.ledger) : stored.ledger });
  };
  const write = async (namespace: string, ledger: Ledger, stored: StoredLedger | undefined): Promise<boolean> => {
    const written = await store.write(namespace, ledger, stored);
    onSwap(written === undefined ? 'conflict' : 'done');
    if (written !== undefined) learn(namespace, { stored: written, ledger });
    return written !== undefined;
  };
  const hasCaughtUp = async (settled: bigint): Promise<boolean> => {
    const isThere = () => (table.version() ?? -1n) >= settled;
    const until = clock.nowMs() + limits.lagMs;
    while (!isThere() && table.version() !== undefined && clock.nowMs() < until) await clock.sleep(5);
    return isThere();
  };

  async function run(namespace: string, claims: readonly Claim[]): Promise<readonly QuotaAnswer[]> {
    const until = clock.nowMs() + limits.patienceMs;
    let isSure = false;
    let expired = none;
    let listed: Count | undefined;
    let current = claims.length === 0 ? await read(namespace) : (known.get(namespace) ?? (await read(namespace)));
    while (clock.nowMs() <= until) {
      if (claims.length === 0 && current?.stored === undefined && (current?.ledger.grants.length ?? 0) === 0) {
        known.delete(namespace);
        return [];
      }
      if (current !== undefined && current.stored === undefined) {
        await write(namespace, current.ledger, undefined);
        await clock.sleep(limits.mournMs);
        current = await read(namespace);
        continue;
      }
      if (listed === undefined && !(await hasCaughtUp(current?.ledger.settled ?? 0n)))
        listed = await countNow(namespace);
      const count: Count = listed ?? table.count(namespace);
      const ledger = within(current?.ledger ?? newLedger(count.version), listed);
      const decided = decide(
        settle(ledger, count, (grant) => expired.has(grantKey(grant))),
        count,
        claims,
      );
      const isRefusal = decided.answers.some(({ allowed }) => !allowed);
      if (!isSure && (isRefusal || (claims.length === 0 && sightings.expired(namespace).size > 0))) {
        isSure = true;
        current = await read(namespace);
        expired = sightings.expired(namespace);
        listed = expired.size > 0 || count.pods <= limits.recountPods ? await countNow(namespace) : undefined;
        continue;
      }
      if (current?.stored !== undefined && isSameLedger(decided.ledger, current.stored.ledger)) return decided.answers;
      if (decided.ledger.grants.length > limits.maxGrants) throw full(namespace, limits.maxGrants);
      if (await write(namespace, decided.ledger, current?.stored)) return decided.answers;
      current = await read(namespace);
      [isSure, expired, listed] = [false, none, undefined];
    }
    throw new QuotaError('quota/contention', `The quota ledger of namespace ${namespace} was changed at each try.`);
  }

  return { run, known };
}

// A list begun later shows a lower version only if etcd was restored from a backup; its versions begin anew then.
function within(ledger: Ledger, listed: Count | undefined): Ledger {
  return listed !== undefined && listed.version < ledger.settled ? { ...ledger, settled: listed.version } : ledger;
}

function full(namespace: string, maxGrants: number): QuotaError {
  const message = `The quota ledger of namespace ${namespace} has ${maxGrants} admissions whose pods have not been seen yet.`;
  return new QuotaError('quota/full', message);
}
