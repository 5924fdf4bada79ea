import { type Direction, directions } from '../../rate/limit.ts';
import { type Amounts, larger, minus, nothing, plus } from './amounts.ts';
import type { Grant, Hard, Ledger } from './ledger.ts';
import type { Count } from './pod-table.ts';

/** A claim of a pod that is created or changed, as validating admission sees it: final, with uid and name. */
export interface Claim {
  readonly name: string;
  readonly uid: string;
  /** The pod's limit as stamped. */
  readonly wanted: Amounts;
  /**
   * The version that an update replaces, and its limit as stamped; undefined for a create. The API server stores an
   * update only on the version that it showed, so this is what the pod has at that moment, whatever a watch knew.
   */
  readonly before: (Amounts & { readonly version: bigint }) | undefined;
  /** The namespace's quota. */
  readonly hard: Hard;
  /** Whether the answer alone is asked for. */
  readonly dryRun: boolean;
}

/** Reports whether a pod gets more than before in a direction with a quota. */
export function isRaised(wanted: Amounts, before: Amounts, hard: Hard): boolean {
  return directions.some((direction) => hard[direction] !== undefined && wanted[direction] > before[direction]);
}

/** The answer about a pod; numbers in bytes per second. */
export type QuotaAnswer =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      readonly direction: Direction;
      /** What would come to what is used. */
      readonly requested: number;
      readonly used: number;
      readonly hard: number;
    };

/** The outcome of a batch of claims. */
export interface Decided {
  readonly ledger: Ledger;
  /** One for each claim, in order. */
  readonly answers: readonly QuotaAnswer[];
}

/**
 * Decides about claims in their order, from a settled ledger and a count that is not older than what is settled
 * (ledger.ts). The time depends on the number of grants and claims, not on that of pods.
 */
export function reserve(ledger: Ledger, count: Count, claims: readonly Claim[]): Decided {
  const charges = new Map<string, Amounts>();
  const chargeOf = (name: string): Amounts => charges.get(name) ?? count.pod(name)?.amounts ?? nothing;
  let used = count.sum;
  const charge = (name: string, amounts: Amounts) => {
    const before = chargeOf(name);
    const after = larger(before, amounts);
    charges.set(name, after);
    used = plus(used, minus(after, before));
  };
  for (const grant of ledger.grants) charge(grant.name, grant);

  let grants = ledger.grants;
  let { hard, serial } = ledger;
  const answers = claims.map((claim): QuotaAnswer => {
    const { name, uid, wanted, before, dryRun } = claim;
    if (!dryRun) hard = claim.hard;
    const charged = chargeOf(name);
    const requested = minus(larger(charged, wanted), charged);
    for (const direction of directions) {
      const limit = claim.hard[direction];
      const isRaised = wanted[direction] > (before?.[direction] ?? 0);
      if (limit === undefined || !isRaised || used[direction] + requested[direction] <= limit) continue;
      return { allowed: false, direction, requested: requested[direction], used: used[direction], hard: limit };
    }
    if (dryRun) return { allowed: true };
    charge(name, wanted);
    const grant = { name, uid, ...wanted, from: before?.version, serial };
    serial += 1;
    const same = grants.filter((other) => isSameOccasion(grant, other));
    grants = [...grants.filter((other) => !same.includes(other)), same.reduce(joined, grant)];
    return { allowed: true };
  });
  return { ledger: { ...ledger, grants, serial, hard, used }, answers };
}

// Rule 5 in ledger.ts. The joined grant has a new serial, so that its life begins anew.
function isSameOccasion(one: Grant, other: Grant): boolean {
  return one.name === other.name && one.from === other.from && (one.from === undefined || one.uid === other.uid);
}

function joined(grant: Grant, earlier: Grant): Grant {
  const uid = grant.uid === earlier.uid ? grant.uid : '';
  return { ...grant, uid, ...larger(grant, earlier) };
}

/**
 * Takes the grants out of a ledger whose outcome a count shows; rule 2 in ledger.ts.
 * @param isExpired reports whether a grant can have no effect any more unless the count shows it; it needs a count that
 * was begun after the grant expired
 */
export function settle(ledger: Ledger, count: Count, isExpired: (grant: Grant) => boolean): Ledger {
  let { settled } = ledger;
  const grants = ledger.grants.filter((grant) => {
    const pod = count.pod(grant.name);
    // An update replaces one version only. If the pod has a later one, the update is in it, or it failed and whatever
    // is tried again is another admission. Equal amounts would not do: the pod may have had them before it was lowered.
    if (pod?.uid === grant.uid && (grant.from === undefined || pod.version > grant.from)) {
      if (pod.version > settled) settled = pod.version;
      return false;
    }
    return !count.hasLeft(grant.uid, grant.from ?? -1n) && !isExpired(grant);
  });
  return { ...ledger, settled, grants };
}
