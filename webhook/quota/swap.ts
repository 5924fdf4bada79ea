import type { Clock } from '../cluster/clock.ts';
import { type Entry, isAwaited } from './batches.ts';
import { createKnownLedgers, noneExpired } from './known-ledgers.ts';
import { isSameLedger, type Ledger, newLedger, QuotaError } from './ledger.ts';
import type { LedgerStore } from './ledger-store.ts';
import type { Count, PodTable } from './pod-table.ts';
import { type Claim, type QuotaAnswer, reserve, settle } from './reserve.ts';

/** Times and bounds, in milliseconds unless they say otherwise. */
export interface SwapLimits {
  /** How long a grant can take effect. */
  readonly lifeMs: number;
  /** How long to wait for the watch to report what another replica has seen already. */
  readonly lagMs: number;
  /** How long to try where nobody can tell whether the answer is still waited for. */
  readonly patienceMs: number;
  /** Up to how many pods a refusal needs a new count; more make it too slow. */
  readonly recountPods: number;
  /** How many grants a ledger can hold: an object in etcd has at most 1.5 MB. */
  readonly maxGrants: number;
}

/** What swaps are made with. */
export interface SwapParts {
  readonly store: LedgerStore;
  /** The pods, as a watch reports them. */
  readonly table: PodTable;
  /** Counts a namespace's pods by a list. */
  readonly countNow: (namespace: string) => Promise<Count>;
  readonly clock: Clock;
  readonly limits: SwapLimits;
  /** Called for each attempt to write a ledger; conflict: another replica was first. */
  readonly onSwap: (outcome: 'done' | 'conflict') => void;
}

/** Builds what decides about batches of claims; it knows no ledger yet. */
export function createSwaps(parts: SwapParts) {
  const { table, countNow, clock, limits } = parts;
  const known = createKnownLedgers({ ...parts, lifeMs: limits.lifeMs });

  const waitForWatch = async (settled: bigint): Promise<void> => {
    const isBehind = () => (table.version() ?? settled) < settled;
    const until = clock.nowMs() + limits.lagMs;
    while (isBehind() && clock.nowMs() < until) await clock.sleep(5);
  };

  /**
   * Decides about claims on one namespace and takes out of its ledger what is settled. To be run once at a time for a
   * namespace. Without claims it only does the latter. It tries as long as an answer is waited for.
   * @returns one answer for each claim, in order; undefined where nobody waits any more
   * @throws QuotaError, ApiFailure
   */
  async function run(
    namespace: string,
    entries: readonly Entry<Claim>[],
  ): Promise<readonly (QuotaAnswer | undefined)[]> {
    const until = clock.nowMs() + limits.patienceMs;
    const isPatient = () => clock.nowMs() <= until;
    const isWaiting = (entry: Entry<Claim>) => isAwaited(entry, isPatient);
    const isTending = entries.length === 0;
    const isDry = !isTending && entries.every(({ item }) => item.dryRun);
    // If the recalled one has changed, the write fails; a dry run writes nothing.
    let stored = await (isTending || isDry ? known.read(namespace) : known.recall(namespace));
    let listed: Count | undefined;
    let expired = noneExpired;
    let isSure = false;
    while (isTending ? isPatient() : entries.some(isWaiting)) {
      if (isTending && stored === undefined) return [];
      const settled = stored?.ledger.settled ?? 0n;
      if (listed === undefined) await waitForWatch(settled);
      const counted = listed?.version ?? table.version();
      if (counted === undefined || counted < settled) listed = await countNow(namespace);
      // From here to the decision nothing may wait: the table goes on.
      const count: Count = listed ?? table.count(namespace);
      const ledger = restored(stored?.ledger ?? newLedger(count.version), listed);
      // A claim that nobody waits for is not granted: it would keep others out until it expires.
      const awaited = entries.filter(isWaiting);
      const claims = awaited.map(({ item }) => item);
      const decided = reserve(settle(ledger, count, expired.has), count, claims);
      const given = new Map(awaited.map((entry, index) => [entry, decided.answers[index]]));
      const answers = entries.map((entry) => given.get(entry));

      const isRefusal = decided.answers.some(({ allowed }) => !allowed);
      if (!isSure && (isRefusal || (isTending && !known.expired(namespace).isEmpty))) {
        // A refusal rests on a ledger and a count that are not older than the claim.
        isSure = true;
        stored = await known.read(namespace);
        expired = known.expired(namespace);
        const needsCount = !expired.isEmpty || (listed === undefined && count.pods <= limits.recountPods);
        if (needsCount) listed = await countNow(namespace);
        continue;
      }
      if (isDry || (stored !== undefined && isSameLedger(decided.ledger, stored.ledger))) return answers;
      if (decided.ledger.grants.length > limits.maxGrants) throw full(limits.maxGrants);
      if (await known.write(namespace, decided.ledger, stored)) return answers;
      stored = await known.read(namespace);
      isSure = false;
      expired = noneExpired;
      listed = undefined;
    }
    throw new QuotaError('quota/contention', 'the ledger of the namespace was changed at each attempt');
  }

  return { run, known: known.all };
}

// A list begun later shows a lower version only if etcd was restored from a backup; its versions begin anew then.
function restored(ledger: Ledger, listed: Count | undefined): Ledger {
  return listed !== undefined && listed.version < ledger.settled ? { ...ledger, settled: listed.version } : ledger;
}

function full(maxGrants: number): QuotaError {
  return new QuotaError('quota/full', `${maxGrants} admissions of the namespace have not led to a pod yet`);
}
