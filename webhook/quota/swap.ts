import { type Entry, isAwaited } from '../batches.ts';
import type { Clock } from '../clock.ts';
import { type Claim, decide, type QuotaAnswer } from './decide.ts';
import { QuotaError } from './errors.ts';
import { createKnownLedgers, type Known, noneExpired } from './known-ledgers.ts';
import { type Hard, isSameLedger, type Ledger, newLedger } from './ledger.ts';
import type { LedgerStore } from './ledger-store.ts';
import type { Count, PodTable } from './pod-table.ts';
import { settle } from './settle.ts';

/** Times and bounds, in milliseconds unless they say otherwise. */
export interface SwapLimits {
  /** How long a grant can take effect. */
  readonly lifeMs: number;
  /** How long to wait for the watch to tell what another replica has seen already. */
  readonly lagMs: number;
  /** How long to try where nobody can tell whether the answer is still waited for. */
  readonly patienceMs: number;
  /** How long to wait after a ledger was deleted, for other replicas to write again what they know. */
  readonly mournMs: number;
  /** How long after an admission a ledger need not be tended: the admissions of a busy namespace tend it themselves. */
  readonly restMs: number;
  /** How long after the last admission under a quota each change of a pod is to be told at once. */
  readonly lingerMs: number;
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
  readonly clock: Clock;
  readonly limits: SwapLimits;
  /** A namespace's quota now, so that its ledger shows a changed one before the next admission; undefined if that is not known. */
  readonly hardOf: (namespace: string) => Hard | undefined;
  /** Told of each try to write a ledger, and whether another replica was first. */
  readonly onSwap: (outcome: 'done' | 'conflict') => void;
}

/** Decides about batches of claims. */
export interface Swaps {
  /**
   * Decides about claims on one namespace and takes out of its ledger what is settled. To be run once at a time for a namespace.
   * Without claims it only does the latter. It tries as long as an answer is waited for.
   * @returns one answer for each claim, in order; undefined where nobody waits any more
   * @throws QuotaError, ApiFailure
   */
  run(namespace: string, entries: readonly Entry<Claim>[]): Promise<readonly (QuotaAnswer | undefined)[]>;
  /** The ledgers that are known here. */
  readonly known: ReadonlyMap<string, Known>;
}

/** Builds swaps that know no ledger yet. */
export function createSwaps(parts: SwapParts): Swaps {
  const { table, clock, limits, hardOf } = parts;
  const known = createKnownLedgers({ ...parts, lifeMs: limits.lifeMs });

  const countNow = async (namespace: string): Promise<Count> => {
    const count = await parts.countNow(namespace);
    table.counted(count.version);
    return count;
  };
  const hasCaughtUp = async (settled: bigint): Promise<boolean> => {
    const isThere = () => (table.version() ?? -1n) >= settled;
    const until = clock.nowMs() + limits.lagMs;
    while (!isThere() && table.version() !== undefined && clock.nowMs() < until) await clock.sleep(5);
    return isThere();
  };

  async function run(namespace: string, entries: readonly Entry<Claim>[]): ReturnType<Swaps['run']> {
    const until = clock.nowMs() + limits.patienceMs;
    const isPatient = () => clock.nowMs() <= until;
    const isWaiting = (entry: Entry<Claim>) => isAwaited(entry, isPatient);
    const isTending = entries.length === 0;
    const isDry = !isTending && entries.every(({ item }) => item.dryRun);
    // If what is recalled has changed, the write fails and tells; a dry run writes nothing.
    let current = await (isTending || isDry ? known.read(namespace) : known.recall(namespace));
    let listed: Count | undefined;
    let expired = noneExpired;
    let isSure = false;
    while (isTending ? isPatient() : entries.some(isWaiting)) {
      if (isTending && current?.stored === undefined && (current?.ledger.grants.length ?? 0) === 0) {
        known.forget(namespace);
        return [];
      }
      if (!isDry && current !== undefined && current.stored === undefined) {
        await known.write(namespace, current.ledger, undefined);
        await clock.sleep(limits.mournMs);
        current = await known.read(namespace);
        continue;
      }

      const settled = current?.ledger.settled ?? 0n;
      const isBehind = listed === undefined ? !(await hasCaughtUp(settled)) : listed.version < settled;
      if (isBehind) listed = await countNow(namespace);
      // From here to the decision nothing may wait: the table goes on.
      const count: Count = listed ?? table.count(namespace);
      const hard = isTending ? hardOf(namespace) : undefined;
      const ledger = within({ ...(current?.ledger ?? newLedger(count.version)), ...(hard && { hard }) }, listed);
      // What nobody waits for is not granted: it would keep others out until it expires.
      const awaited = entries.filter(isWaiting);
      const claims = awaited.map(({ item }) => item);
      const decided = decide(settle(ledger, count, expired.has), count, claims);
      const given = new Map(awaited.map((entry, index) => [entry, decided.answers[index]]));
      const answers = entries.map((entry) => given.get(entry));

      const isRefusal = decided.answers.some(({ allowed }) => !allowed);
      if (!isSure && (isRefusal || (isTending && !known.expired(namespace).isEmpty))) {
        // Nobody is refused because of what is known here only from before: the ledger is read, and pods are counted, anew.
        isSure = true;
        current = await known.read(namespace);
        expired = known.expired(namespace);
        const isWanted = !expired.isEmpty || (listed === undefined && count.pods <= limits.recountPods);
        if (isWanted) listed = await countNow(namespace);
        continue;
      }
      const isWritten = current?.stored !== undefined && isSameLedger(decided.ledger, current.stored.ledger);
      if (isDry || isWritten) return answers;
      if (decided.ledger.grants.length > limits.maxGrants) throw full(namespace, limits.maxGrants);
      if (await known.write(namespace, decided.ledger, current?.stored)) return answers;
      current = await known.read(namespace);
      [isSure, expired, listed] = [false, noneExpired, undefined];
    }
    throw new QuotaError('quota/contention', `The quota ledger of namespace ${namespace} was changed at each try.`);
  }

  return { run, known: known.all };
}

// A list begun later shows a lower version only if etcd was restored from a backup; its versions begin anew then.
function within(ledger: Ledger, listed: Count | undefined): Ledger {
  return listed !== undefined && listed.version < ledger.settled ? { ...ledger, settled: listed.version } : ledger;
}

function full(namespace: string, maxGrants: number): QuotaError {
  const message = `The quota ledger of namespace ${namespace} has ${maxGrants} admissions whose pods have not been seen yet.`;
  return new QuotaError('quota/full', message);
}
