import { type Amounts, minus, nothing, plus } from './amounts.ts';

/** What is known of a pod that is not finished and has a limit. */
export interface CountedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Its resource version. */
  readonly version: bigint;
  readonly amounts: Amounts;
}

/** The pods of one namespace at one version. */
export interface Count {
  /** The resource version of the list or of the last event. */
  readonly version: bigint;
  /** How many pods there are. */
  readonly pods: number;
  /** Their sum. */
  readonly sum: Amounts;
  pod(name: string): CountedPod | undefined;
  /** Whether a pod was there, and left: deleted, finished or without a limit, at a version above a given one. */
  hasLeft(uid: string, above: bigint): boolean;
}

/** A table of counted pods of all namespaces, fed by a list and a watch. A count of 10,000 pods costs what one of none does. */
export interface PodTable {
  /**
   * The version of the list or of the last event; undefined where it may lack what others have seen long ago: before the first list, and
   * after a rest until it has reached a count that was begun later.
   */
  version(): bigint | undefined;
  /** Takes note that it is told of what happens some seconds later from now on, or at once again from where it was. */
  rest(isResting: boolean): void;
  /** Takes note of a count that somebody began just now, at a version. */
  counted(version: bigint): void;
  /** Takes a whole list. */
  replace(pods: Iterable<CountedPod>, version: bigint): void;
  /** Takes a pod that was added or changed. */
  put(pod: CountedPod): void;
  /** Takes the end of a pod, with the version at which it left. */
  remove(pod: Pick<CountedPod, 'namespace' | 'name' | 'uid' | 'version'>): void;
  /** Takes note that nothing else happened up to a version. */
  reach(version: bigint): void;
  /** The count of a namespace as it is now; what is read of it later is later. */
  count(namespace: string): Count;
}

interface Namespace {
  readonly pods: Map<string, CountedPod>;
  sum: Amounts;
}

/**
 * Builds an empty table.
 * @param keepMs how long pods that left are remembered
 * @param nowMs a clock in milliseconds that never goes back
 */
export function createPodTable(keepMs: number, nowMs: () => number): PodTable {
  let namespaces = new Map<string, Namespace>();
  let version: bigint | undefined;
  // The version that it must have reached to be used: after a rest, once a count has told one.
  let needed: bigint | 'end of rest' | 'count' = 0n;
  const left = new Map<string, { readonly version: bigint; readonly atMs: number }>();

  const leave = (uid: string, at: bigint) => {
    const now = nowMs();
    // In the order of leaving, so the old ones come first.
    for (const [old, { atMs }] of left) {
      if (atMs + keepMs > now) break;
      left.delete(old);
    }
    left.delete(uid);
    left.set(uid, { version: at, atMs: now });
  };
  const take = (namespace: Namespace, name: string): CountedPod | undefined => {
    const pod = namespace.pods.get(name);
    if (pod === undefined) return undefined;
    namespace.pods.delete(name);
    namespace.sum = minus(namespace.sum, pod.amounts);
    return pod;
  };
  const insert = (into: Map<string, Namespace>, pod: CountedPod) => {
    const namespace = into.get(pod.namespace) ?? { pods: new Map(), sum: nothing };
    into.set(pod.namespace, namespace);
    const former = take(namespace, pod.name);
    namespace.pods.set(pod.name, pod);
    namespace.sum = plus(namespace.sum, pod.amounts);
    return former;
  };
  const reach = (to: bigint) => {
    if (version === undefined || to > version) version = to;
  };

  return {
    version: () => (typeof needed === 'bigint' && version !== undefined && version >= needed ? version : undefined),
    rest(isResting) {
      if (isResting) needed = 'end of rest';
      else if (needed === 'end of rest') needed = 'count';
    },
    counted(at) {
      if (needed === 'count') needed = at;
    },
    reach,
    replace(pods, at) {
      const before = namespaces;
      namespaces = new Map();
      for (const pod of pods) insert(namespaces, pod);
      for (const { pods: former } of before.values()) {
        for (const { namespace, name, uid, version: last } of former.values()) {
          // A list does not tell when it left: not before it was last seen.
          if (namespaces.get(namespace)?.pods.get(name)?.uid !== uid) leave(uid, last);
        }
      }
      // Not reach(): after a restore of etcd from a backup, versions are smaller than before.
      version = at;
      needed = 0n;
    },
    put(pod) {
      const former = insert(namespaces, pod);
      if (former !== undefined && former.uid !== pod.uid) leave(former.uid, former.version);
      reach(pod.version);
    },
    remove(pod) {
      const namespace = namespaces.get(pod.namespace);
      if (namespace?.pods.get(pod.name)?.uid === pod.uid) take(namespace, pod.name);
      if (namespace?.pods.size === 0) namespaces.delete(pod.namespace);
      leave(pod.uid, pod.version);
      reach(pod.version);
    },
    count(name) {
      const namespace = namespaces.get(name);
      return {
        version: version ?? 0n,
        pods: namespace?.pods.size ?? 0,
        sum: namespace?.sum ?? nothing,
        pod: (pod) => namespace?.pods.get(pod),
        hasLeft: (uid, above) => (left.get(uid)?.version ?? -1n) > above,
      };
    },
  };
}
