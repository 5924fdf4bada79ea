import { z } from 'zod';
import type { Decision } from './decide.ts';
import type { PodChange } from './judge.ts';
import { type Pod, podSchema } from './pod.ts';
import { check, requestOf, reviewOf } from './review-schema.ts';

/** A request for admission of a pod, as far as it matters here. */
export interface PodReview extends PodChange {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE';
  readonly namespace: string;
  /** The pod's name; `prefix*` where the API server has yet to complete it. */
  readonly name: string;
  readonly dryRun: boolean;
}

/** The answer in the form that the API server reads. */
export interface ReviewAnswer {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patchType?: 'JSONPatch';
    /** The JSON patch in base64. */
    readonly patch?: string;
    readonly warnings?: readonly string[];
    /** The API server puts the webhook's name before each key. */
    readonly auditAnnotations?: Readonly<Record<string, string>>;
    readonly status?: { status: 'Failure'; code: number; reason: string; message: string };
  };
}

/** The key of the audit annotation that says what an enforced policy would have refused. */
export const auditKey = 'would-refuse';

const podReview = reviewOf(
  requestOf(podSchema).extend({ userInfo: z.object({ username: z.string().optional() }).optional() }),
);

/**
 * Reads an AdmissionReview (admission.k8s.io/v1) about a pod.
 * @throws ReviewError that names the first thing that is wrong
 */
export function readReview(body: unknown): PodReview {
  const { request } = check(podReview, body);
  const { uid, operation, namespace, name, dryRun, userInfo, object, oldObject } = request;
  return {
    uid,
    operation,
    namespace: namespace ?? '',
    name: name || displayName(object),
    dryRun: dryRun ?? false,
    byNode: userInfo?.username?.startsWith('system:node:') ?? false,
    pod: object,
    oldPod: operation === 'UPDATE' ? (oldObject ?? undefined) : undefined,
  };
}

/** Writes the answer to a review. */
export function writeReview(uid: string, decision: Decision): ReviewAnswer {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, ...respond(decision) } };
}

function respond(decision: Decision): Omit<ReviewAnswer['response'], 'uid'> {
  if (decision.outcome === 'deny') {
    const { status, message } = decision;
    return { allowed: false, status: { status: 'Failure', code: status, reason: reason(status), message } };
  }
  const warnings = decision.warnings.length > 0 ? { warnings: decision.warnings } : {};
  if (decision.outcome === 'leave') {
    const { fault } = decision;
    const audit = fault?.mode === 'audit' ? { auditAnnotations: { [auditKey]: fault.message } } : {};
    return { allowed: true, ...warnings, ...audit };
  }
  const patch = Buffer.from(JSON.stringify(decision.operations)).toString('base64');
  return { allowed: true, patchType: 'JSONPatch', patch, ...warnings };
}

// The API server's own words for the two statuses: metav1.StatusReasonInvalid and StatusReasonForbidden.
function reason(status: number): string {
  return status === 422 ? 'Invalid' : 'Forbidden';
}

function displayName({ metadata }: Pod): string {
  return metadata.name || `${metadata.generateName ?? ''}*`;
}
