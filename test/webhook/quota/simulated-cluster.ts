import { ApiFailure } from '../../../kube/api-failure.ts';
import type { Clock } from '../../../webhook/cluster/clock.ts';
import { type Amounts, isSame, nothing, plus } from '../../../webhook/quota/amounts.ts';
import { createQuotaKeeper, type QuotaKeeper } from '../../../webhook/quota/keeper.ts';
import type { LedgerStore, StoredLedger } from '../../../webhook/quota/ledger-store.ts';
import { type CountedPod, createPodTable, type PodTable } from '../../../webhook/quota/pod-table.ts';
import type { SwapLimits } from '../../../webhook/quota/swap.ts';

/** The only namespace, and a time in ms after which the API server gives up a request. */
export const namespace = 'team-a';
export const requestTimeoutMs = 60_000;

/** Bounds that suit a simulation. */
export const limits: SwapLimits = {
  lifeMs: 90_000,
  lagMs: 10,
  recountPods: 500,
  maxGrants: 3_000,
};

interface PodEvent {
  readonly type: 'put' | 'remove';
  readonly pod: CountedPod;
}

/** A replica of the webhook: a keeper, and a table that has seen some of what happened. */
export interface Replica {
  readonly keeper: QuotaKeeper;
  readonly store: LedgerStore;
  readonly table: PodTable;
  isAlive: boolean;
  /** Shows the table so many of the events that it has not seen. */
  watch(events: number): void;
  /** Replaces the table by a list, as after a broken watch. */
  relist(): void;
}

// A pod without a limit does not carry the label that is selected on.
const isCounted = ({ amounts }: CountedPod) => !isSame(amounts, nothing);

/** How an operation ended. */
export type Outcome = 'stored' | 'refused' | 'failed';

/** Etcd, the API server and its clients in a few lines: versions, pods, one ledger, and requests that call a replica. */
export interface SimulatedCluster {
  readonly clock: Clock & { advance(ms: number): void };
  readonly pods: ReadonlyMap<string, CountedPod>;
  sum(): Amounts;
  ledger(): StoredLedger | undefined;
  /** Deletes the ledger, which only administrators may do. */
  deleteLedger(): void;
  /** Lets the API server answer everything about ledgers with an error, until told otherwise. */
  fail(isFailing: boolean): void;
  /** Lets the answer to the next write of the ledger get lost, so that its second try finds another ledger than it would replace. */
  loseAnswer(): void;
  /** How many lists of the pods were made. */
  lists(): number;
  /** Starts a replica. @param isWatching whether its watch has listed the pods already */
  start(isWatching?: boolean): Replica;
  /** Creates a pod through a replica. @param isLost whether something else refuses it after the replica allowed it */
  create(replica: Replica, name: string, amounts: Amounts, hard: Amounts, isLost: boolean): Promise<Outcome>;
  /** Changes a pod's amounts through a replica, as often as it takes to do it on the pod's present version. */
  update(replica: Replica, name: string, amounts: Amounts, hard: Amounts): Promise<Outcome>;
  /** Deletes or finishes a pod. */
  end(name: string): void;
}

/**
 * Builds a cluster.
 * @param pause waits for any time; what else happens meanwhile is up to the caller
 * @param first the pods that are there from the start
 * @param changed bounds of the keepers that differ from {@link limits}
 */
export function simulateCluster(
  pause: () => Promise<unknown>,
  first: Readonly<Record<string, Amounts>> = {},
  changed: Partial<SwapLimits> = {},
): SimulatedCluster {
  let version = 100n;
  let nowMs = 0;
  let uids = 0;
  let stored: StoredLedger | undefined;
  let isFailing = false;
  let losing = 0;
  let lists = 0;
  const pods = new Map<string, CountedPod>();
  const events: PodEvent[] = [];

  const clock = {
    nowMs: () => nowMs,
    async sleep(ms: number) {
      nowMs += ms;
      await pause();
    },
    advance(ms: number) {
      nowMs += ms;
    },
  };
  const next = () => {
    version += 1n;
    return version;
  };
  const put = (pod: Omit<CountedPod, 'version' | 'namespace'>) => {
    const stored = { ...pod, namespace, version: next() };
    pods.set(pod.name, stored);
    events.push({ type: isCounted(stored) ? 'put' : 'remove', pod: stored });
  };
  const counted = () => [...pods.values()].filter(isCounted);
  for (const [name, amounts] of Object.entries(first)) put({ name, uid: `first-${name}`, amounts });
  const reach = async () => {
    await pause();
    if (isFailing) throw new ApiFailure('The API server is away.');
  };
  const createStore = (): LedgerStore => ({
    async read() {
      await reach();
      const found = stored;
      await pause();
      return found;
    },
    async list() {
      await reach();
      return new Map(stored === undefined ? [] : [[namespace, stored.resourceVersion]]);
    },
    async write(_, ledger, before) {
      await reach();
      const isCurrent = stored?.resourceVersion === before?.resourceVersion;
      const uid = before?.uid ?? `ledger-${version}`;
      const written = { ledger, uid, resourceVersion: String(isCurrent ? next() : 0n) };
      if (isCurrent) stored = written;
      await pause();
      if (isCurrent && losing > 0) {
        losing -= 1;
        return undefined;
      }
      return isCurrent ? written : undefined;
    },
  });
  const countNow = async () => {
    lists += 1;
    await pause();
    const table = createPodTable(0, { nowMs: clock.nowMs, dateMs: clock.nowMs });
    table.replace(counted(), version);
    await pause();
    return table.count(namespace);
  };
  const inTime = (replica: Replica, sinceMs: number) => replica.isAlive && nowMs - sinceMs < requestTimeoutMs;

  return {
    ...{ clock, pods },
    sum: () => [...pods.values()].map(({ amounts }) => amounts).reduce(plus, nothing),
    ledger: () => stored,
    deleteLedger() {
      stored = undefined;
    },
    fail(failing) {
      isFailing = failing;
    },
    loseAnswer() {
      losing += 1;
    },
    lists: () => lists,
    start(isWatching = true) {
      const table = createPodTable(limits.lifeMs, { nowMs: clock.nowMs, dateMs: clock.nowMs });
      let seen = events.length;
      const store = createStore();
      const keeper = createQuotaKeeper({
        store,
        table,
        countNow,
        clock,
        limits: { ...limits, ...changed },
      });
      const watch = (count: number) => {
        // A watch begins with a list.
        if (table.version() === undefined) return relist();
        for (const { type, pod } of events.slice(seen, seen + count)) table[type](pod);
        seen = Math.min(seen + count, events.length);
      };
      const relist = () => {
        table.replace(counted(), version);
        seen = events.length;
      };
      if (isWatching) relist();
      return { keeper, store, table, isAlive: true, watch, relist };
    },
    async create(replica, name, amounts, hard, isLost) {
      const sinceMs = nowMs;
      uids += 1;
      const pod = { name, uid: `uid-${uids}`, amounts };
      const { uid } = pod;
      const claim = { name, uid, hard, wanted: amounts, dryRun: false, before: undefined };
      const { allowed } = await replica.keeper.check(namespace, claim);
      await pause();
      if (!allowed) return 'refused';
      if (isLost || !inTime(replica, sinceMs) || pods.has(name)) return 'failed';
      put(pod);
      return 'stored';
    },
    async update(replica, name, amounts, hard) {
      const sinceMs = nowMs;
      for (;;) {
        const old = pods.get(name);
        if (old === undefined) return 'failed';
        const before = { ...old.amounts, version: old.version };
        const claim = { name, uid: old.uid, hard, wanted: amounts, dryRun: false, before };
        const { allowed } = await replica.keeper.check(namespace, claim);
        await pause();
        if (!allowed) return 'refused';
        if (!inTime(replica, sinceMs)) return 'failed';
        if (pods.get(name)?.version !== old.version) continue;
        put({ ...old, amounts });
        return 'stored';
      }
    },
    end(name) {
      const pod = pods.get(name);
      if (pod === undefined) return;
      pods.delete(name);
      events.push({ type: 'remove', pod: { ...pod, version: next() } });
    },
  };
}
