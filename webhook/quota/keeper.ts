import { isSame, nothing } from './amounts.ts';
import { createBatches } from './batches.ts';
import type { Ledger } from './ledger.ts';
import { type Claim, isRaised, type QuotaAnswer } from './reserve.ts';
import { createSwaps, type SwapParts } from './swap.ts';

/** Decides whether pods fit into their namespace's quota; exact for any number of keepers (ledger.ts says why). */
export type QuotaKeeper = ReturnType<typeof createQuotaKeeper>;

// How long to try: less than API servers wait, which do not always come to close the connection.
const patienceMs = 8_000;

/** Builds a keeper. Nothing runs by itself: start.ts does that. */
export function createQuotaKeeper(parts: SwapParts) {
  const { store, table } = parts;
  const { run, known } = createSwaps(parts);
  const enter = createBatches(run);
  const isUntended = ([namespace, resourceVersion]: [string, string]) => {
    const last = known.get(namespace);
    if (last?.resourceVersion !== resourceVersion || last.ledger.grants.length > 0) return true;
    return table.version() !== undefined && !isSame(table.count(namespace).sum, last.ledger.used);
  };
  return {
    /**
     * Decides about one admission, and grants it unless it is a dry run. An update that raises nothing is always
     * allowed.
     * @param signal aborted when nobody waits for the answer any more: a grant for a pod that will not come keeps
     * others out for a while
     * @throws QuotaError, ApiFailure where nothing could be decided, or the reason of an end
     */
    async check(namespace: string, claim: Claim, signal?: AbortSignal): Promise<QuotaAnswer> {
      if (!isRaised(claim.wanted, claim.before ?? nothing, claim.hard)) return { allowed: true };
      const patience = AbortSignal.timeout(patienceMs);
      return enter(namespace, claim, signal === undefined ? patience : AbortSignal.any([signal, patience]));
    },
    /**
     * Finds the ledgers that other keepers changed, that hold grants, or that show another sum than the pods have.
     * Removes from them what is settled, and updates what is used. @throws QuotaError, ApiFailure
     */
    async tend(): Promise<void> {
      const found = await store.list();
      const missing = [...known.keys()].filter((namespace) => !found.has(namespace));
      const untended = [...found].filter(isUntended).map(([namespace]) => namespace);
      const signal = AbortSignal.timeout(patienceMs);
      await Promise.all([...missing, ...untended].map((namespace) => enter(namespace, undefined, signal)));
    },
    /** The known ledgers, by namespace. */
    ledgers: (): ReadonlyMap<string, Ledger> =>
      new Map([...known].map(([namespace, { ledger }]) => [namespace, ledger])),
  };
}
