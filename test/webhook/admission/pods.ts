import jsonpatch from 'jsonpatch';
import { labelKeys } from '../../../rate/keys.ts';
import type { InstallationPolicy } from '../../../rate/policy.ts';
import { createAdmission } from '../../../webhook/admission/admission.ts';
import type { Decision } from '../../../webhook/admission/decision.ts';
import { type Pod, readPod } from '../../../webhook/admission/pod.ts';
import type { Review } from '../../../webhook/admission/review.ts';
import type { QuotaKeeper } from '../../../webhook/quota/keeper.ts';
import type { Claim } from '../../../webhook/quota/reserve.ts';

/** A pod as JSON, with the metadata and the spec that a test cares about. */
export function podJson(metadata: object, spec: object = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', ...metadata },
    spec: { containers: [{ name: 'web', image: 'web' }], ...spec },
  };
}

/** The same as the webhook sees it. */
export function pod(metadata: object, spec: object = {}): Pod {
  return readPod(podJson(metadata, spec));
}

/** A pod's JSON after a decision, by an independent implementation of JSON patch. */
export function applied<T extends object>(json: T, decision: Decision): T {
  return decision.outcome === 'patch'
    ? (jsonpatch.apply_patch(json, structuredClone([...decision.operations])) as T)
    : json;
}

/** A review of a pod. */
export function review(object: unknown, oldObject?: unknown, more: Partial<Review> = {}): Review {
  const operation = oldObject === undefined ? 'CREATE' : 'UPDATE';
  const about = { uid: 'u-1', resource: 'pods', namespace: 'shop', name: 'web', dryRun: false };
  return { ...about, operation, object, oldObject, ...more };
}

const none = { default: {}, max: {} };
/** As the API server calls it in a namespace with a policy. */
export const asked = { hasPolicy: true };

/** Admission in a namespace with a policy, with a quota's keeper that records what it is asked. */
export function admissionIn(
  policy: Readonly<Record<string, string>>,
  check: QuotaKeeper['check'] = async () => ({ allowed: true }),
  installation: InstallationPolicy = none,
) {
  const labels = Object.fromEntries(Object.entries(policy).map(([key, value]) => [`podrate.dev/${key}`, value]));
  const claims: (Claim & { readonly namespace: string })[] = [];
  const quota: Pick<QuotaKeeper, 'check'> = {
    check(namespace, claim, signal) {
      claims.push({ ...claim, namespace });
      return check(namespace, claim, signal);
    },
  };
  const parts = { keys: labelKeys('rate'), installation, labelsOf: async () => labels, quota };
  return { ...createAdmission(parts), claims };
}

/** Mutates a pod and validates the result, as an API server does. */
export async function admit(webhook: ReturnType<typeof admissionIn>, json: object, old?: object, more = {}) {
  const mutated = await webhook.mutate(review(json, old, more), asked);
  if (mutated.outcome === 'deny') return { mutated, decision: mutated, stored: json };
  const stored = applied(json, mutated);
  return { mutated, decision: await webhook.validate(review(stored, old, more), asked), stored };
}
