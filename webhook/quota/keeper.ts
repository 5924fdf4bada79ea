import { directions } from '../../rate/limit.ts';
import { type Amounts, amountsOf, isSame } from './amounts.ts';
import { createBatches } from './batches.ts';
import type { Hard, Ledger } from './ledger.ts';
import type { Claim, QuotaAnswer } from './reserve.ts';
import { createSwaps, type SwapParts } from './swap.ts';

/** An admission of a pod in a namespace with a quota, as validating admission sees it: final, with uid and name. */
export interface QuotaRequest {
  readonly namespace: string;
  /** The namespace's quota in bytes per second. */
  readonly hard: Hard;
  readonly pod: { readonly uid: string; readonly name: string };
  /** The pod's limit in bytes per second, as stamped. */
  readonly wanted: Readonly<Partial<Amounts>>;
  readonly dryRun: boolean;
  /**
   * The version that an update replaces, and its limit as stamped; undefined for a create. The API server stores an
   * update only on the version that it showed, so this is what the pod has at that moment, whatever a watch knew.
   */
  readonly before: (Readonly<Partial<Amounts>> & { readonly version: bigint }) | undefined;
}

/** Decides whether pods fit into their namespace's quota; exact for any number of keepers (ledger.ts says why). */
export interface QuotaKeeper {
  /**
   * Decides about one admission, and grants it unless it is a dry run. An update that raises nothing is always allowed.
   * @param signal aborted when nobody waits for the answer any more: a grant for a pod that will not come keeps others
   * out for a while
   * @throws QuotaError, ApiFailure where nothing could be decided, or the signal's reason
   */
  check(request: QuotaRequest, signal?: AbortSignal): Promise<QuotaAnswer>;
  /** Removes from a namespace's ledger what is settled, and updates what is used. @throws QuotaError, ApiFailure */
  tend(namespace: string): Promise<void>;
  /** Finds ledgers that other keepers changed, and tends them. @throws QuotaError, ApiFailure */
  refresh(): Promise<void>;
  /** The known ledgers that may have to be tended now. */
  untended(): readonly string[];
  /** The known ledgers, by namespace. */
  ledgers(): ReadonlyMap<string, Ledger>;
}

/** Builds a keeper. Nothing runs by itself: start.ts does that. */
export function createQuotaKeeper(parts: SwapParts): QuotaKeeper {
  const swaps = createSwaps(parts);
  const batches = createBatches(swaps.run);
  return {
    async check(request, signal) {
      const claim = claimOf(request);
      const had = claim.before?.amounts ?? amountsOf(undefined);
      const isRaised = directions.some((way) => claim.hard[way] !== undefined && claim.wanted[way] > had[way]);
      return isRaised ? batches.add(request.namespace, claim, signal) : { allowed: true };
    },
    tend: batches.kick,
    async refresh() {
      const found = await parts.store.list();
      const changed = [...found].filter(([namespace, { resourceVersion }]) => {
        return swaps.known.get(namespace)?.resourceVersion !== resourceVersion;
      });
      const missing = [...swaps.known.keys()].filter((namespace) => !found.has(namespace));
      await Promise.all([...changed.map(([namespace]) => namespace), ...missing].map(batches.kick));
    },
    untended: () => [...swaps.known].filter((entry) => isUntended(...entry, parts)).map(([namespace]) => namespace),
    ledgers: () => new Map([...swaps.known].map(([namespace, { ledger }]) => [namespace, ledger])),
  };
}

function isUntended(namespace: string, { ledger }: { ledger: Ledger }, { table }: SwapParts): boolean {
  const isChanged = table.version() !== undefined && !isSame(table.count(namespace).sum, ledger.used);
  return ledger.grants.length > 0 || isChanged;
}

function claimOf({ hard, pod, wanted, dryRun, before }: QuotaRequest): Claim {
  return {
    name: pod.name,
    uid: pod.uid,
    hard,
    dryRun,
    wanted: amountsOf(wanted),
    before: before && { version: before.version, amounts: amountsOf(before) },
  };
}
