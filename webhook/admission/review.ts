/** The AdmissionReview (admission.k8s.io/v1): its envelope, and the answer. */
import type { Decision } from './decision.ts';
import { FieldError, fieldsOf, optionalFields, optionalText } from './fields.ts';

/** A request that is no AdmissionReview, which no user can cause. It is answered by an HTTP error. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
  readonly code = 'review/invalid';
  /** The HTTP status of the answer. */
  readonly status: 400 | 415;

  constructor(message: string, status: ReviewError['status'] = 400) {
    super(message);
    this.status = status;
  }
}

/** The request of a review; its objects are not read yet. */
export interface Review {
  readonly uid: string;
  /** As in `pods`. */
  readonly resource: string;
  readonly operation: string;
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly object: unknown;
  /** Null or undefined where there is none. */
  readonly oldObject: unknown;
}

// The API server puts the webhook's name before it.
const auditKey = 'would-refuse';

/** Reads the envelope of a review. @throws ReviewError */
export function readReview(body: unknown): Review {
  try {
    const { apiVersion, kind, request } = fieldsOf(body, 'body');
    if (apiVersion !== 'admission.k8s.io/v1' || kind !== 'AdmissionReview') {
      throw new ReviewError('The body is no AdmissionReview of admission.k8s.io/v1.');
    }
    const fields = fieldsOf(request, 'request');
    const uid = optionalText(fields.uid, 'request.uid');
    if (uid === undefined || uid === '') throw new ReviewError('The AdmissionReview has no request.uid.');
    return {
      uid,
      resource: optionalText(optionalFields(fields.resource, 'request.resource').resource, 'request.resource') ?? '',
      operation: optionalText(fields.operation, 'request.operation') ?? '',
      namespace: optionalText(fields.namespace, 'request.namespace') ?? '',
      name: optionalText(fields.name, 'request.name') ?? '',
      dryRun: fields.dryRun === true,
      object: fields.object,
      oldObject: fields.oldObject,
    };
  } catch (error) {
    if (error instanceof FieldError) throw new ReviewError(`The body is no AdmissionReview: ${error.message}.`);
    throw error;
  }
}

/** Returns the answer to a review in the form that the API server reads. */
export function writeReview(uid: string, decision: Decision) {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, ...respond(decision) } };
}

function respond(decision: Decision) {
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

// The API server's own words: metav1.StatusReasonInvalid, StatusReasonRequestEntityTooLarge and StatusReasonForbidden.
function reason(status: number): string {
  if (status === 413) return 'RequestEntityTooLarge';
  return status === 422 ? 'Invalid' : 'Forbidden';
}
