import { directions } from '../../rate/limit.ts';
import { createBatches } from '../batches.ts';
import { type Amounts, amountsOf, isSame, nothing } from './amounts.ts';
import type { Claim, QuotaAnswer } from './decide.ts';
import { QuotaError } from './errors.ts';
import type { Hard, Ledger } from './ledger.ts';
import { createSwaps, type SwapParts } from './swap.ts';

export type { QuotaAnswer } from './decide.ts';

/** An admission of a pod in a namespace with a quota, as validating admission sees it: final, with uid and name. */
export interface QuotaRequest {
  readonly namespace: string;
  /** The namespace's quota in bytes per second. */
  readonly hard: Hard;
  readonly pod: { readonly uid: string; readonly name: string };
  /** The pod's limit in bytes per second, as stamped. */
  readonly wanted: Readonly<Partial<Amounts>>;
  readonly dryRun: boolean;
  readonly operation: 'create' | 'update';
  /**
   * For an update, and needed there: the review's oldObject, its resource version and its limit as stamped. The API server stores
   * an update only on the version that it showed, so this is what the pod has at that moment, whatever a watch knew.
   */
  readonly before?: Readonly<Partial<Amounts>> & { readonly resourceVersion: string };
}

/** Decides whether pods fit into their namespace's quota; exact for any number of keepers (ledger.ts tells why). */
export interface QuotaKeeper {
  /**
   * Decides about one admission, and grants it unless it is a dry run. An update that raises nothing is always allowed.
   * @param signal aborted when nobody waits for the answer any more: a grant of what will not come would keep others out for a while
   * @throws QuotaError, ApiFailure where nothing could be decided, or the signal's reason
   */
  check(request: QuotaRequest, signal?: AbortSignal): Promise<QuotaAnswer>;
  /** Brings a namespace's ledger up to date: what is settled leaves it, what is used is shown. @throws QuotaError, ApiFailure */
  tend(namespace: string): Promise<void>;
  /** Finds ledgers that other keepers made, and brings them up to date. @throws QuotaError, ApiFailure */
  look(): Promise<void>;
  /** The ledgers that may have to be tended now. */
  untended(): readonly string[];
  /** Whether it has to know of each change of a pod at once: while quotas are asked about or used. */
  needsPods(): boolean;
  /** The ledgers that are known here, by namespace. */
  ledgers(): ReadonlyMap<string, Ledger>;
}

/** Builds a keeper. Nothing runs by itself: tending.ts does that. */
export function createQuotaKeeper(parts: SwapParts): QuotaKeeper {
  const { store, clock, limits } = parts;
  const askedMs = new Map<string, number>();
  let lastMs = Number.NEGATIVE_INFINITY;
  const isBusy = (namespace: string) => {
    const sinceMs = clock.nowMs() - (askedMs.get(namespace) ?? Number.NEGATIVE_INFINITY);
    if (sinceMs >= limits.restMs) askedMs.delete(namespace);
    return sinceMs < limits.restMs;
  };
  const swaps = createSwaps(parts);
  const batches = createBatches(swaps.run);

  return {
    async check(request, signal) {
      const claim = readClaim(request);
      const had = claim.before?.amounts ?? amountsOf(undefined);
      const isRaised = directions.some((way) => claim.hard[way] !== undefined && claim.wanted[way] > had[way]);
      if (!isRaised) return { allowed: true };
      lastMs = clock.nowMs();
      if (!request.dryRun) askedMs.set(request.namespace, clock.nowMs());
      return batches.add(request.namespace, claim, signal);
    },
    tend: batches.kick,
    async look() {
      const found = await store.list();
      const changed = [...found].filter(
        ([namespace, { metadata }]) =>
          swaps.known.get(namespace)?.stored?.metadata.resourceVersion !== metadata.resourceVersion,
      );
      const missing = [...swaps.known.keys()].filter((namespace) => !found.has(namespace));
      await Promise.all([...changed.map(([namespace]) => namespace), ...missing].map(batches.kick));
    },
    untended: () =>
      [...swaps.known]
        .filter(([namespace, { ledger }]) => isUntended(namespace, ledger, parts) && !isBusy(namespace))
        .map(([name]) => name),
    needsPods: () =>
      clock.nowMs() < lastMs + limits.lingerMs ||
      [...swaps.known.values()].some(({ ledger: { grants, used } }) => grants.length > 0 || !isSame(used, nothing)),
    ledgers: () => new Map([...swaps.known].map(([namespace, { ledger }]) => [namespace, ledger])),
  };
}

function isUntended(namespace: string, { grants, used, hard }: Ledger, { table, hardOf }: SwapParts): boolean {
  const now = hardOf(namespace) ?? hard;
  const isChanged = table.version() !== undefined && !isSame(table.count(namespace).sum, used);
  return grants.length > 0 || isChanged || directions.some((direction) => now[direction] !== hard[direction]);
}

function readClaim({ hard, pod, wanted, dryRun, operation, before }: QuotaRequest): Claim {
  if (operation === 'update' && before === undefined) {
    throw new QuotaError('quota/request', 'An update cannot be decided without the pod that it replaces.');
  }
  return {
    ...{ name: pod.name, uid: pod.uid, hard, dryRun },
    wanted: amountsOf(wanted),
    before:
      operation === 'create' || before === undefined
        ? undefined
        : { version: BigInt(before.resourceVersion), amounts: amountsOf(before) },
  };
}
