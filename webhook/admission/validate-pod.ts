import { applyPolicy, exceededQuota } from '../../rate/apply-policy.ts';
import { type LabelKeys, shapedValue, stampAnnotation } from '../../rate/keys.ts';
import { directions, type Limit, noLimit, type Request } from '../../rate/limit.ts';
import type { Policy } from '../../rate/policy.ts';
import { quote } from '../../rate/quote.ts';
import { formatStamp, readStamp, type Stamped } from '../../rate/stamp.ts';
import { amountsOf } from '../quota/amounts.ts';
import { QuotaError } from '../quota/ledger.ts';
import { type Claim, isRaised, type QuotaAnswer } from '../quota/reserve.ts';
import { admit, type Decision, type Fault, good, joinFaults } from './decision.ts';
import { type Evaluation, evaluate, type PodChange, type Stamp, stampedLimitOf, stampOf } from './evaluate.ts';
import { FieldError } from './fields.ts';
import type { Pod } from './pod.ts';

const stampedLate =
  'podrate could not be asked to stamp this pod: it starts without a limit, and gets it within a minute or so';

/** A pod to be validated. */
export interface ValidatedPod extends PodChange {
  readonly dryRun: boolean;
}

/** Decides about a claim on the quota of the pod's namespace. @throws what the quota's keeper throws */
export type CheckQuota = (claim: Claim) => Promise<QuotaAnswer>;

/** What a pod is validated with. */
export interface ValidationParts {
  readonly keys: LabelKeys;
  /** The policy of the pod's namespace. */
  readonly policy: Policy;
  /** Undefined: no sum of rates is kept. */
  readonly checkQuota: CheckQuota | undefined;
}

/**
 * Decides about a pod after all mutating webhooks: its stamp must be one that its labels and the policy allow, and it
 * must fit into the quota. A change that is not about the pod's rate is not refused for what the pod was before.
 * @throws FieldError, and what the quota's keeper throws
 */
export async function validatePod(change: ValidatedPod, parts: ValidationParts): Promise<Decision> {
  const { pod, oldPod } = change;
  const { keys, policy, checkQuota } = parts;
  const { mode } = policy;
  const evaluation = evaluate(change, keys, policy);
  const { stamp, malformed, malformedDscp, hasOldRate } = evaluation;
  if (malformedDscp !== undefined) return { outcome: 'deny', ...malformedDscp };
  const found = stampOf(pod);
  // Mutation got no answer. A change without a value of the stamp's label does not ask for a stamp.
  const isUnstamped =
    found.annotation === undefined &&
    found.label !== shapedValue &&
    (oldPod === undefined || found.label !== undefined);
  const limit = isUnstamped ? withoutDscp(evaluation.stamped) : stampedLimitOf(pod);
  const isRateChange = !hasOldRate || formatStamp(limit) !== formatStamp(stampedLimitOf(oldPod ?? pod));
  const fault = isRateChange ? (malformed ?? joinFaults(violations(limit, policy))) : undefined;
  if (fault !== undefined && mode === 'enforce') return { outcome: 'deny', ...fault };
  if (isUnstamped && stamp.annotation !== undefined) {
    if (mode === 'enforce') return { outcome: 'deny', ...wrongStamp(found, stamp) };
    return fault === undefined ? { outcome: 'leave', warnings: [stampedLate] } : admit(fault, mode);
  }
  if (!isAllowed(pod, evaluation)) return { outcome: 'deny', ...wrongStamp(found, stamp) };
  if (fault !== undefined) return admit(fault, mode);
  const claim = claimOf(change, policy, limit);
  const refusal = claim && checkQuota && (await quotaFault(claim, checkQuota));
  return refusal === undefined ? good : admit(refusal, mode);
}

function violations(limit: Limit, policy: Policy) {
  const { egress = noLimit, ingress = noLimit }: Request = limit;
  return applyPolicy({ egress, ingress }, policy).violations;
}

/**
 * Reports whether a pod's stamp is one that its labels give. Replicas learn of a changed default some milliseconds
 * apart, so where the labels leave a direction to the policy any rate will do; its bounds are checked elsewhere.
 */
export function isAllowed(pod: Pod, { stamp, stamped, asked }: Evaluation): boolean {
  const found = stampOf(pod);
  if (isSame(found, stamp)) return true;
  if (asked === undefined) return false;
  const said = readStamp(pod);
  if (said === undefined || formatStamp(said) !== found.annotation || said.dscp !== stamped.dscp) return false;
  return directions.every((direction) =>
    asked[direction] === undefined
      ? said[direction] !== undefined || stamped[direction] === undefined
      : said[direction] === stamped[direction],
  );
}

function withoutDscp({ dscp: _, ...limit }: Stamped): Limit {
  return limit;
}

function isSame(one: Stamp, other: Stamp): boolean {
  return one.annotation === other.annotation && one.label === other.label;
}

function wrongStamp({ annotation }: Stamp, right: Stamp): Fault {
  const should = right.annotation === undefined ? 'must be absent' : `must be ${right.annotation}`;
  const is = annotation === undefined ? 'is missing' : `is ${quote(annotation)}`;
  const message = `annotation ${stampAnnotation} ${should}, but ${is}: podrate writes it; try again, or see docs/policy.md about other mutating webhooks`;
  return { status: 403, code: annotation === undefined ? 'stamp/missing' : 'stamp/forged', message };
}

async function quotaFault(claim: Claim, check: CheckQuota): Promise<Fault | undefined> {
  try {
    const answer = await check(claim);
    if (answer.allowed) return undefined;
    const message = exceededQuota(answer.direction, answer.requested, answer.used, answer.hard);
    return { status: 403, code: 'quota/exceeded', message };
  } catch (error) {
    // Requests of users can bring these about, so they are no failures of the webhook.
    if (!(error instanceof QuotaError)) throw error;
    return { status: 403, code: error.code, message: `podrate.dev/quota: ${error.message}; try again in a minute` };
  }
}

function claimOf(change: ValidatedPod, policy: Policy, limit: Limit): Claim | undefined {
  const { dryRun, pod, oldPod } = change;
  const wanted = amountsOf(limit);
  const old = amountsOf(oldPod && stampedLimitOf(oldPod));
  if (!isRaised(wanted, old, policy.quota) || pod.phase === 'Succeeded' || pod.phase === 'Failed') return undefined;
  const version = oldPod?.version;
  if (oldPod !== undefined && version === undefined)
    throw new FieldError('oldObject.metadata.resourceVersion', 'a number', '');
  return {
    name: pod.name,
    uid: pod.uid,
    hard: policy.quota,
    wanted,
    before: version === undefined ? undefined : { ...old, version },
    // What is not refused is not granted either.
    dryRun: dryRun || policy.mode !== 'enforce',
  };
}
