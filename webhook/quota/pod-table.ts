import type { Amounts } from './amounts.ts';

/** A pod that is not finished and has a limit. */
export interface CountedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Its resource version. */
  readonly version: bigint;
  readonly amounts: Amounts;
  /** When a pod that is being deleted no longer counts, in ms since 1970; absent for all others. */
  readonly endsMs?: number;
}

/** The pods of one namespace at one version. */
export interface Count {
  /** The resource version of the list or of the last event. */
  readonly version: bigint;
  /** The number of pods. */
  readonly pods: number;
  readonly sum: Amounts;
  pod(name: string): CountedPod | undefined;
  /** Reports whether a pod left (deleted, finished or without a limit) at a version above a given one. */
  hasLeft(uid: string, above: bigint): boolean;
}

/** A table of counted pods of all namespaces, fed by a list and a watch. */
export type PodTable = ReturnType<typeof createPodTable>;

/**
 * Builds an empty table.
 * @param keepMs how long pods that left are remembered
 * @param clocks in ms: one that never goes back, and one that counts from 1970
 */
export function createPodTable(keepMs: number, clocks: Record<'nowMs' | 'dateMs', () => number>) {
  const { nowMs, dateMs } = clocks;
  /** By namespace and name. */
  let namespaces = new Map<string, Map<string, CountedPod>>();
  let version: bigint | undefined;
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
  /** Puts a pod in. @returns the pod that had its name */
  const insert = (pod: CountedPod) => {
    const namespace = namespaces.get(pod.namespace) ?? new Map();
    const former: CountedPod | undefined = namespace.get(pod.name);
    namespaces.set(pod.namespace, namespace.set(pod.name, pod));
    return former;
  };
  /** Takes note that nothing else happened up to a version. */
  const reach = (to: bigint) => {
    if (version === undefined || to > version) version = to;
  };

  return {
    /** The version of the list or of the last event; undefined before the first list. */
    version: () => version,
    reach,
    /** Takes a whole list. */
    replace(pods: Iterable<CountedPod>, at: bigint) {
      const before = namespaces;
      namespaces = new Map();
      for (const pod of pods) insert(pod);
      for (const { namespace, name, uid, version: last } of [...before.values()].flatMap((all) => [...all.values()])) {
        // A list does not tell when it left: not before it was last seen.
        if (namespaces.get(namespace)?.get(name)?.uid !== uid) leave(uid, last);
      }
      // Not reach(): after a restore of etcd from a backup, versions are smaller than before.
      version = at;
    },
    /** Takes a pod that was added or changed. */
    put(pod: CountedPod) {
      const former = insert(pod);
      if (former !== undefined && former.uid !== pod.uid) leave(former.uid, former.version);
      reach(pod.version);
    },
    /** Takes the end of a pod, with the version at which it left. */
    remove(pod: Pick<CountedPod, 'namespace' | 'name' | 'uid' | 'version'>) {
      const namespace = namespaces.get(pod.namespace);
      if (namespace?.get(pod.name)?.uid === pod.uid) namespace.delete(pod.name);
      if (namespace?.size === 0) namespaces.delete(pod.namespace);
      leave(pod.uid, pod.version);
      reach(pod.version);
    },
    /** Returns the count of a namespace as it is now; what is read of it later is later. */
    count(name: string): Count {
      const namespace = namespaces.get(name) ?? new Map<string, CountedPod>();
      const today = dateMs();
      let egress = 0;
      let ingress = 0;
      for (const pod of namespace.values()) {
        if (pod.endsMs !== undefined && pod.endsMs <= today) {
          // ResourceQuota's rule: a pod that a lost node cannot delete must not keep its successor out.
          namespace.delete(pod.name);
          leave(pod.uid, pod.version);
        } else {
          egress += pod.amounts.egress;
          ingress += pod.amounts.ingress;
        }
      }
      return {
        version: version ?? 0n,
        pods: namespace.size,
        sum: { egress, ingress },
        pod: (pod) => namespace.get(pod),
        hasLeft: (uid, above) => (left.get(uid)?.version ?? -1n) > above,
      };
    },
  };
}
