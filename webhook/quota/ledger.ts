import { type Amounts, nothing } from './amounts.ts';

/** What a namespace's pods may have together, in bytes per second; a direction that is absent has no quota. */
export type Hard = Readonly<Partial<Amounts>>;

/** An admission that was allowed, until its outcome is known, with what the pod has if it takes effect. */
export interface Grant extends Amounts {
  /** The pod's name. */
  readonly name: string;
  /** The pod's uid; empty for several creates of one name, of which any may have made the pod. */
  readonly uid: string;
  /** The only resource version that an update replaces; undefined for a create. */
  readonly from?: bigint | undefined;
  /** Distinguishes this admission from another one of the same pod. */
  readonly serial: number;
}

/**
 * What the replicas share about a namespace's quota. It holds no list of pods and no sum that decisions rely on: each
 * replica counts the pods by its own list and watch. It holds what such a count may miss.
 *
 * The quota is exact for any number of replicas, whose watches may lag by any time:
 *
 * 1. Every create and every raise of a pod is granted by one swap of the ledger (compare-and-swap on its resource
 *    version), which adds the grant. So a pod's rate, wherever it is now, is one that a count at some version showed,
 *    or one of a later grant.
 * 2. A grant leaves the ledger only when its outcome is known: (a) the pod was seen with it, at some resource version
 *    v; then `settled` is raised to v or above, or (b) it can have no effect any more: the pod was seen and is gone, or
 *    the grant is older than any request to the API server can be, and a list made after that does not show it.
 * 3. A replica decides only with a count of a version that is not below `settled`. What left the ledger by (a) is in
 *    that count, what left by (b) needs no count, all else is still in the ledger. So count and ledger together are an
 *    upper bound of what is, and of all that can come of earlier grants; a grant is given only where the bound stays
 *    within the quota.
 * 4. At most one pod of a name exists at a time, so a name is charged the largest of its pod and its grants, not their
 *    sum. A pod that is deleted and created again under its name, or a create that fails because the name is taken,
 *    costs nothing.
 * 5. A name has one grant for its creates, and one for the updates of each version, with the largest of their amounts.
 *    Several creates leave by expiry alone: while one of them is seen, another may still take effect after it.
 *
 * Resource versions are compared as numbers; Kubernetes says that those of one resource can be (KEP-5504).
 */
export interface Ledger {
  /** Whatever was granted and has left the ledger took effect at this version at the latest, or never will. */
  readonly settled: bigint;
  readonly grants: readonly Grant[];
  /** The serial of the next grant. */
  readonly serial: number;
  /** For people: the quota at the last admission, and count and grants together. */
  readonly hard: Hard;
  readonly used: Amounts;
}

/** Reasons why a quota could not decide; stable names, for programs. */
export type QuotaErrorCode = 'quota/contention' | 'quota/full';

/** An admission about which a quota decided nothing. */
export class QuotaError extends Error {
  override readonly name = 'QuotaError';
  readonly code: QuotaErrorCode;

  constructor(code: QuotaErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Returns the ledger of a namespace that has none yet. */
export function newLedger(counted: bigint): Ledger {
  return { settled: counted, grants: [], serial: 0, hard: {}, used: nothing };
}

/** Returns the name of a grant. */
export function grantKey({ uid, from, serial }: Grant): string {
  return `${uid}/${from ?? ''}/${serial}`;
}
