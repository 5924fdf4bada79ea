import { withInstallation } from '../../rate/apply-policy.ts';
import type { LabelKeys } from '../../rate/keys.ts';
import type { Labels } from '../../rate/limit.ts';
import { type InstallationPolicy, modeLabel, modes, type Policy, PolicyError, parsePolicy } from '../../rate/policy.ts';
import type { QuotaKeeper } from '../quota/keeper.ts';
import type { Claim } from '../quota/reserve.ts';
import { admit, type Decision } from './decision.ts';
import { FieldError, fieldsOf, optionalStrings } from './fields.ts';
import { mutatePod } from './mutate.ts';
import { readPod } from './pod.ts';
import type { Review } from './review.ts';
import { validateNamespace } from './validate-namespace.ts';
import { type ValidatedPod, validatePod } from './validate-pod.ts';
import { readTemplate, validateTemplate } from './validate-template.ts';

/** What admission decides with. */
export interface AdmissionParts {
  readonly keys: LabelKeys;
  readonly installation: InstallationPolicy;
  /** Whether pods without a rate label are limited by their annotations of CNI plugins. */
  readonly obeysBandwidth?: boolean;
  /** Returns a namespace's labels. */
  readonly labelsOf: (namespace: string, hasPolicy: boolean) => Promise<Labels>;
  /** Undefined: no sum of rates is kept. */
  readonly quota: Pick<QuotaKeeper, 'check'> | undefined;
}

/** Who asks. */
export interface Asked {
  /** Whether the API server takes the namespace for one with a policy. */
  readonly hasPolicy: boolean;
  /** Aborted when nobody waits for the decision any more. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Both halves of admission. Each gives a decision for whatever a user can write, and throws only for a failure of its
 * own.
 */
export interface Admission {
  mutate(review: Review, asked: Asked): Promise<Decision>;
  validate(review: Review, asked: Asked): Promise<Decision>;
}

/** Joins the decisions with the policies of the namespaces. */
export function createAdmission(parts: AdmissionParts): Admission {
  const { keys, installation, obeysBandwidth, labelsOf, quota } = parts;
  const decided =
    (decide: (review: Review, asked: Asked) => Promise<Decision>) => async (review: Review, asked: Asked) => {
      try {
        return await decide(review, asked);
      } catch (error) {
        if (!(error instanceof FieldError)) throw error;
        return { outcome: 'deny', status: 422, code: error.code, message: error.message } as const;
      }
    };
  const policyOf = async ({ namespace }: Review, { hasPolicy }: Asked) =>
    usablePolicy(await labelsOf(namespace, hasPolicy), installation);

  return {
    mutate: decided(async (review, asked) => {
      if (review.resource !== 'pods') throw new FieldError('request.resource', 'pods', review.resource);
      const change = podChange(review);
      return mutatePod(change, keys, (await policyOf(review, asked)).policy, obeysBandwidth);
    }),
    validate: decided(async (review, asked) => {
      const { resource, object, oldObject } = review;
      if (resource === 'namespaces') {
        return validateNamespace(labelsIn(object), isUpdate(review) ? labelsIn(oldObject) : undefined, installation);
      }
      const { policy, fault } = await policyOf(review, asked);
      if (resource !== 'pods') {
        const old = isUpdate(review) ? readTemplate(oldObject) : undefined;
        return fault ?? validateTemplate(readTemplate(object), old, keys, policy);
      }
      const change = podChange(review);
      if (fault !== undefined) return change.oldPod === undefined ? fault : { outcome: 'leave', warnings: [] };
      // The namespace has lost its policy since the API server asked.
      if (policy === undefined) return { outcome: 'leave', warnings: [] };
      const checkQuota = quota && ((claim: Claim) => quota.check(review.namespace, claim, asked.signal));
      return validatePod(change, { keys, policy, checkQuota });
    }),
  };
}

/** Returns a namespace's policy within the installation's, or what new pods get to hear of one that cannot be used. */
export function usablePolicy(
  labels: Labels,
  installation: InstallationPolicy,
): { policy?: Policy | undefined; fault?: Decision } {
  try {
    const policy = parsePolicy(labels, { default: {}, max: {} });
    return { policy: policy && withInstallation(policy, installation) };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    // Only a namespace that was written while the webhook was away has such a policy.
    const mode = modes.find((known) => known === labels?.[modeLabel]) ?? 'enforce';
    const message = `the namespace has no usable policy: ${error.message}`;
    return { fault: admit({ status: 403, code: error.code, message }, mode) };
  }
}

function podChange(review: Review): ValidatedPod {
  const { object, oldObject, name, dryRun } = review;
  const pod = readPod(object);
  const oldPod = isUpdate(review) ? readPod(oldObject) : undefined;
  return { dryRun, pod: name === '' ? pod : { ...pod, name }, oldPod };
}

function isUpdate({ operation }: Review): boolean {
  if (operation === 'CREATE') return false;
  if (operation === 'UPDATE') return true;
  throw new FieldError('request.operation', 'CREATE or UPDATE', operation);
}

function labelsIn(object: unknown): Labels {
  const { metadata } = fieldsOf(object, 'object');
  return optionalStrings(fieldsOf(metadata, 'object.metadata').labels, 'object.metadata.labels');
}
