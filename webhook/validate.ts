import { exceededQuota } from '../rate/apply-policy.ts';
import { dscpAnnotation, type LabelKeys, stampAnnotation } from '../rate/keys.ts';
import { directions, type Labels, type Limit } from '../rate/limit.ts';
import {
  type InstallationPolicy,
  type Mode,
  modeLabel,
  type Policy,
  PolicyError,
  parsePolicy,
  policyPrefix,
} from '../rate/policy.ts';
import type { Decision } from './decide.ts';
import { type Fault, judge, type Stamp, stampedLimitOf, stampOf } from './judge.ts';
import { askedMark, hasSameMark } from './mark-annotation.ts';
import { isFinished, type Pod } from './pod.ts';
import type { QuotaKeeper, QuotaRequest } from './quota/keeper.ts';
import { hasRateLabel, hasSameRateLabels } from './rate-labels.ts';
import type { PodReview } from './review.ts';
import type { ChangedLabels, ChangedTemplate } from './validation-review.ts';

const good: Decision = { outcome: 'leave', warnings: [] };
const stampedLate =
  'podrate could not be asked to stamp this pod: it starts without a limit, and gets it as soon as podrate has found it';
// The selector of the mutating registration (manifests/webhook-configuration.yaml).
const askedInPolicies = `; where one adds or removes rate labels of new pods after podrate, give the namespace a policy (label ${modeLabel}), and podrate is asked again`;

/** What a pod is validated with. */
export interface ValidationParts {
  readonly keys: LabelKeys;
  /** The policy of the pod's namespace. */
  readonly policy: Policy | undefined;
  /** Undefined: no sum of rates is kept. */
  readonly checkQuota: QuotaKeeper['check'] | undefined;
  /** Whether a new pod may lack its stamp because mutation may have been skipped: catch-up stamps it later. */
  readonly mayLackStamp: boolean;
}

/**
 * Decides about a pod as it is after all mutating webhooks: its stamp must be what its labels and the policy give, the policy must
 * allow it, and it must fit into the quota. A change that is not about the pod's rate is not refused for what the pod was before.
 * @throws what the quota's keeper throws
 */
export async function validatePod(review: PodReview, parts: ValidationParts): Promise<Decision> {
  const { keys, policy, checkQuota, mayLackStamp } = parts;
  const { pod } = review;
  const { stamp, limit, malformed, malformedMark, violations, hasOldRate } = judge(review, keys, policy);
  if (malformedMark !== undefined) return { outcome: 'deny', ...malformedMark };
  const found = stampOf(pod);
  const mode = policy?.mode ?? 'enforce';
  const [fault] = malformed === undefined ? [merge(violations)] : [malformed];
  if (fault !== undefined && !hasOldRate && mode === 'enforce') return { outcome: 'deny', ...fault };
  const isNew = review.oldPod === undefined;
  // Only what has a limit is found later.
  const isLate = mayLackStamp && isNew && isNoStamp(found) && directions.some((way) => limit[way] !== undefined);
  if (!isLate && (found.annotation !== stamp.annotation || found.label !== stamp.label)) {
    const wanted = stamp.annotation === undefined ? 'there should be none' : `${stamp.annotation} is right`;
    const is = found.annotation === undefined ? 'is missing' : `is ${found.annotation}`;
    const message = `annotation ${stampAnnotation} ${is} or its label is wrong, where by the rate labels, the annotation ${dscpAnnotation} and the namespace's policy ${wanted}: leave both to podrate, and try again if no other webhook changes them${isNew && policy === undefined ? askedInPolicies : ''}`;
    return { outcome: 'deny', status: 403, code: 'stamp/forged', message };
  }
  const told = fault && admit(fault, mode === 'enforce' ? 'warn' : mode);
  if (told !== undefined && mode !== 'enforce') return told;
  const request = policy === undefined ? undefined : quotaRequest(review, policy, limit);
  const answer = request === undefined ? undefined : await checkQuota?.(request);
  if (answer === undefined || answer.allowed)
    return told ?? (isLate ? { outcome: 'leave', warnings: [stampedLate] } : good);
  const message = exceededQuota(answer.direction, answer.requested, answer.used, answer.hard);
  return admit({ status: 403, code: 'quota/exceeded', message }, mode);
}

/**
 * Decides about the pod template of a workload: what its pods would be refused for is refused when it is applied,
 * or told where the template says nothing about rates.
 */
export function validateTemplate(
  { labels, oldLabels, annotations, oldAnnotations, isNew }: ChangedTemplate,
  keys: LabelKeys,
  policy: Policy | undefined,
): Decision {
  const pod = templatePod(labels, annotations);
  const old = templatePod(oldLabels, oldAnnotations);
  const { malformed: badMark } = askedMark(pod);
  if (badMark !== undefined && (isNew || !hasSameMark(pod, old))) {
    return { outcome: 'deny', ...badMark, message: `pod template: ${badMark.message}` };
  }
  if (!isNew && hasSameRateLabels(pod, old, keys)) return good;
  const { malformed, violations } = judge({ pod, oldPod: undefined, byNode: false }, keys, policy);
  const fault = malformed ?? merge(violations);
  if (fault === undefined) return good;
  const mode = policy?.mode ?? 'enforce';
  // A template that says nothing about rates may get them from another webhook, on its pods.
  const isPlain = malformed === undefined && !hasRateLabel(pod, keys);
  return admit({ ...fault, message: `pod template: ${fault.message}` }, isPlain && mode === 'enforce' ? 'warn' : mode);
}

/** Decides about the policy labels of a namespace. */
export function validateNamespace(labels: Labels, oldLabels: Labels, installation: InstallationPolicy): Decision {
  try {
    parsePolicy(labels, installation);
    return good;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const { code, message } = error;
    // A bad policy that got in while the webhook was away must not keep its namespace from being deleted.
    if (!changesPolicy({ labels, oldLabels })) return { outcome: 'leave', warnings: [message] };
    return { outcome: 'deny', status: 422, code, message };
  }
}

/** Tells whether a change of a namespace's labels is one of its policy. */
export function changesPolicy({ labels, oldLabels }: Pick<ChangedLabels, 'labels' | 'oldLabels'>): boolean {
  return policyLabels(labels) !== policyLabels(oldLabels);
}

function isNoStamp({ annotation, label }: Stamp): boolean {
  return annotation === undefined && label === undefined;
}

function admit(fault: Fault, mode: Mode): Decision {
  if (mode === 'enforce') return { outcome: 'deny', ...fault };
  return { outcome: 'leave', warnings: mode === 'warn' ? [fault.message] : [], fault: { ...fault, mode } };
}

function merge(violations: readonly Fault[]): Fault | undefined {
  const [first] = violations;
  return first && { ...first, message: violations.map(({ message }) => message).join(', ') };
}

function quotaRequest(review: PodReview, policy: Policy, wanted: Limit): QuotaRequest | undefined {
  const { namespace, name, dryRun, pod, oldPod } = review;
  const old = oldPod === undefined ? {} : stampedLimitOf(oldPod);
  const isRaised = directions.some(
    (direction) => policy.quota[direction] !== undefined && (wanted[direction] ?? 0) > (old[direction] ?? 0),
  );
  if (!isRaised || isFinished(pod)) return undefined;
  const resourceVersion = oldPod?.metadata.resourceVersion;
  const before = oldPod && resourceVersion ? { before: { ...old, resourceVersion } } : {};
  return {
    ...{ namespace, hard: policy.quota, wanted, ...before },
    pod: { uid: pod.metadata.uid ?? '', name },
    // What is not refused is not granted either.
    dryRun: dryRun || policy.mode !== 'enforce',
    operation: oldPod === undefined ? 'create' : 'update',
  };
}

function templatePod(labels: Labels, annotations: Labels): Pod {
  const metadata = { name: 'template', labels: { ...labels }, annotations: { ...annotations } };
  return { apiVersion: 'v1', kind: 'Pod', metadata };
}

function policyLabels(labels: Labels): string {
  return JSON.stringify(
    Object.entries(labels ?? {})
      .filter(([key]) => key.startsWith(policyPrefix))
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
}
