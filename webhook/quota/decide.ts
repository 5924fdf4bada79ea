import { type Direction, directions } from '../../rate/limit.ts';
import { type Amounts, isSame, larger, minus, nothing, plus } from './amounts.ts';
import type { Grant, Hard, Ledger } from './ledger.ts';
import type { Count } from './pod-table.ts';

/** What is asked for a pod that is created or raised. */
export interface Claim {
  readonly name: string;
  readonly uid: string;
  readonly wanted: Amounts;
  /** What the pod has before; undefined when it is created. */
  readonly before: { readonly version: bigint; readonly amounts: Amounts } | undefined;
  readonly hard: Hard;
  /** Whether only the answer is wanted. */
  readonly dryRun: boolean;
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

/** What a batch of claims comes to. */
export interface Decided {
  readonly ledger: Ledger;
  /** One for each claim, in order. */
  readonly answers: readonly QuotaAnswer[];
}

/**
 * Decides about claims in their order, from a settled ledger and a count that is not older than what is settled (ledger.ts). Takes
 * time in the number of grants and claims, however many pods there are.
 */
export function decide(ledger: Ledger, count: Count, claims: readonly Claim[]): Decided {
  const charges = new Map<string, Amounts>();
  const chargeOf = (name: string): Amounts => charges.get(name) ?? count.pod(name)?.amounts ?? nothing;
  let used = count.sum;
  const charge = (name: string, amounts: Amounts) => {
    const before = chargeOf(name);
    const after = larger(before, amounts);
    charges.set(name, after);
    used = plus(used, minus(after, before));
  };
  for (const grant of ledger.grants) charge(grant.name, grant.amounts);

  let grants = ledger.grants;
  let { hard, serial } = ledger;
  const answers = claims.map((claim): QuotaAnswer => {
    const { name, uid, wanted, before, dryRun } = claim;
    if (!dryRun) hard = claim.hard;
    const charged = chargeOf(name);
    const requested = minus(larger(charged, wanted), charged);
    for (const direction of directions) {
      const limit = claim.hard[direction];
      const isRaised = wanted[direction] > (before?.amounts[direction] ?? 0);
      if (limit === undefined || !isRaised || used[direction] + requested[direction] <= limit) continue;
      return { allowed: false, direction, requested: requested[direction], used: used[direction], hard: limit };
    }
    if (dryRun) return { allowed: true };
    charge(name, wanted);
    const grant = { name, uid, amounts: wanted, from: before?.version, serial };
    serial += 1;
    // A second try of one admission takes the place of the first, so that its life begins anew.
    grants = [...grants.filter((other) => !isSecondTry(grant, other)), grant];
    return { allowed: true };
  });
  return { ledger: { ...ledger, grants, serial, hard, used }, answers };
}

function isSecondTry(one: Grant, other: Grant): boolean {
  return one.uid === other.uid && one.from === other.from && isSame(one.amounts, other.amounts);
}
