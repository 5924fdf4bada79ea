import { type Direction, directions, type Limit, noLimit, type Request } from './limit.ts';
import type { InstallationPolicy, Policy } from './policy.ts';
import { formatRate, type Rate } from './rate.ts';

/** How a pod breaks a policy; a stable name, for programs. */
export type ViolationCode = 'policy/max' | 'policy/min' | 'policy/no-rate';

/** One way in which a pod breaks a policy. */
export interface Violation {
  readonly code: ViolationCode;
  /** In the words of LimitRange and ResourceQuota. */
  readonly message: string;
}

type Limits = { -readonly [direction in Direction]?: Rate };

/** What becomes of a pod under a policy. */
export interface Applied {
  /** The pod's limit, also where it breaks the policy. */
  readonly limit: Limit;
  readonly violations: readonly Violation[];
}

/**
 * Returns a namespace's policy within the installation's: the smaller maximum, and a default where the namespace has
 * none.
 */
export function withInstallation(policy: Policy, installation: InstallationPolicy): Policy {
  const merged = {
    default: { ...policy.default } as Limits,
    min: { ...policy.min } as Limits,
    max: { ...policy.max } as Limits,
  };
  for (const direction of directions) {
    const max = least(policy.max[direction], installation.max[direction]);
    if (max !== undefined) merged.max[direction] = max;
    // The installation's maximum may have been lowered below the namespace's minimum.
    const min = policy.min[direction];
    if (min !== undefined && max !== undefined && min > max) merged.min[direction] = max;
    // LimitRange's rule: a maximum without a default is the default, or else the pod that asks for nothing would have
    // no limit.
    const given = policy.default[direction] ?? installation.default[direction] ?? max;
    const quota = policy.quota[direction];
    if (given === undefined) continue;
    const raised = Math.max(given, merged.min[direction] ?? given);
    merged.default[direction] = Math.min(raised, max ?? raised, quota ?? raised) as Rate;
  }
  return { ...policy, ...merged };
}

/**
 * Returns the limit of a pod under a policy, and how it breaks the policy: bounds as LimitRange has them, and a rate in
 * every direction that has a quota.
 * @param request what the pod's labels ask for
 * @param policy with the installation's part in it
 */
export function applyPolicy(request: Request, policy: Policy | undefined): Applied {
  const limit: Limits = {};
  const found: { direction: Direction; code: ViolationCode; tell: (which: string) => string }[] = [];
  for (const direction of directions) {
    const asked = request[direction] ?? policy?.default[direction];
    if (asked !== undefined && asked !== noLimit) limit[direction] = asked;
    if (policy === undefined) continue;
    const rate = limit[direction];
    const [min, max] = [policy.min[direction], policy.max[direction]];
    const violate = (code: ViolationCode, tell: (which: string) => string) => found.push({ direction, code, tell });
    if (max !== undefined && (rate === undefined || rate > max)) {
      const is = rate === undefined ? noLimit : formatRate(rate);
      violate('policy/max', (which) => `maximum ${which}rate per Pod is ${formatRate(max)}, but limit is ${is}`);
    } else if (rate === undefined && policy.quota[direction] !== undefined) {
      violate('policy/no-rate', (which) => `failed quota: podrate.dev/quota: must specify ${which}rate, as in rate=1M`);
    }
    if (min !== undefined && rate !== undefined && rate < min) {
      const is = formatRate(rate);
      violate('policy/min', (which) => `minimum ${which}rate per Pod is ${formatRate(min)}, but limit is ${is}`);
    }
  }
  // Said once where both directions break the policy alike.
  const violations = new Map<string, Violation>();
  for (const { direction, code, tell } of found) {
    const isAlike = found.filter((other) => other.tell('') === tell('')).length === directions.length;
    const message = tell(isAlike ? '' : `${direction} `);
    violations.set(message, { code, message });
  }
  return { limit, violations: [...violations.values()] };
}

/** Returns the sentence of ResourceQuota for a pod that does not fit; amounts in bytes per second. */
export function exceededQuota(direction: Direction, requested: number, used: number, hard: number): string {
  const amount = (bytes: number) => `${direction}=${formatAmount(bytes)}`;
  return `exceeded quota: podrate.dev/quota, requested: ${amount(requested)}, used: ${amount(used)}, limited: ${amount(hard)}`;
}

function formatAmount(bytes: number): string {
  return bytes < 1000 ? String(bytes) : formatRate(bytes);
}

function least(one: Rate | undefined, other: Rate | undefined): Rate | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one < other ? one : other;
}
