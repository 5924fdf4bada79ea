import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../cluster/clock.ts';
import type { Entry } from './batches.ts';
import { createKnownLedgers } from './known-ledgers.ts';
import { type Grant, grantKey, type Ledger, newLedger, QuotaError } from './ledger.ts';
import type { LedgerStore } from './ledger-store.ts';
import type { Count, PodTable } from './pod-table.ts';
import { type Claim, type QuotaAnswer, reserve, settle } from './reserve.ts';

/** Times and bounds, in milliseconds unless they say otherwise. */
export interface SwapLimits {
  /** How long a grant can take effect. */
  readonly lifeMs: number;
  /** How long to wait for the watch to report what another replica has seen already. */
  readonly lagMs: number;
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
}

const allowed: QuotaAnswer = { allowed: true };

/** Builds what decides about batches of claims; it knows no ledger yet. */
export function createSwaps(parts: SwapParts) {
  const { store, table, countNow, clock, limits } = parts;
  const known = createKnownLedgers(store, clock, limits.lifeMs);

  const waitForWatch = async (settled: bigint): Promise<void> => {
    const isBehind = () => (table.version() ?? settled) < settled;
    const until = clock.nowMs() + limits.lagMs;
    while (isBehind() && clock.nowMs() < until) await clock.sleep(5);
  };

  /**
   * Decides about claims on one namespace and takes out of its ledger what is settled. To be run once at a time for a
   * namespace. An entry without a claim asks for the latter alone. It tries as long as an answer is waited for.
   * @returns one answer for each claim, in order; undefined where nobody waits any more
   * @throws QuotaError, ApiFailure
   */
  async function run(
    namespace: string,
    entries: readonly Entry<Claim | undefined>[],
  ): Promise<readonly (QuotaAnswer | undefined)[]> {
    const isTending = entries.every(({ item }) => item === undefined);
    const isDry = entries.every(({ item }) => item?.dryRun === true);
    // If the recalled one has changed, the write fails; a dry run writes nothing.
    let stored = await (isTending || isDry ? known.read(namespace) : known.recall(namespace));
    let listed: Count | undefined;
    let expired: ReadonlySet<string> = new Set();
    let isSure = false;
    while (entries.some(({ signal }) => !signal.aborted)) {
      if (isTending && stored === undefined) return entries.map(() => allowed);
      const settled = stored?.ledger.settled ?? 0n;
      if (listed === undefined) await waitForWatch(settled);
      const counted = listed?.version ?? table.version();
      if (counted === undefined || counted < settled) listed = await countNow(namespace);
      // From here to the decision nothing may wait: the table goes on.
      const count: Count = listed ?? table.count(namespace);
      const ledger = restored(stored?.ledger ?? newLedger(count.version), listed);
      // A claim that nobody waits for is not granted: it would keep others out until it expires.
      const claims = entries.flatMap(({ item, signal }) => (signal.aborted ? [] : (item ?? [])));
      const isExpired = (grant: Grant) => expired.has(grantKey(grant));
      const decided = reserve(settle(ledger, count, isExpired), count, claims);
      const given = new Map(claims.map((claim, index) => [claim, decided.answers[index]]));
      const answers = entries.map(({ item }) => (item === undefined ? allowed : given.get(item)));

      const isRefusal = decided.answers.some(({ allowed }) => !allowed);
      if (!isSure && (isRefusal || (isTending && known.expired(namespace).size > 0))) {
        // A refusal rests on a ledger and a count that are not older than the claim.
        isSure = true;
        stored = await known.read(namespace);
        expired = known.expired(namespace);
        const needsCount = expired.size > 0 || (listed === undefined && count.pods <= limits.recountPods);
        if (needsCount) listed = await countNow(namespace);
        continue;
      }
      if (isDry || (stored !== undefined && isDeepStrictEqual(decided.ledger, stored.ledger))) return answers;
      if (decided.ledger.grants.length > limits.maxGrants) throw full(limits.maxGrants);
      if (await known.write(namespace, decided.ledger, stored)) return answers;
      stored = await known.read(namespace);
      isSure = false;
      expired = new Set();
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
