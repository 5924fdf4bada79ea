import { withInstallation } from '../rate/apply-policy.ts';
import { type LabelKeys, unknownPolicy } from '../rate/keys.ts';
import type { Labels } from '../rate/limit.ts';
import { type InstallationPolicy, type Policy, PolicyError, parsePolicy } from '../rate/policy.ts';
import type { Caller } from './caller.ts';
import { type Decision, decide, type FoundPolicy, needsPolicy } from './decide.ts';
import type { QuotaKeeper } from './quota/keeper.ts';
import { hasSameRateLabels } from './rate-labels.ts';
import type { PodReview } from './review.ts';
import { changesPolicy, validateNamespace, validatePod, validateTemplate } from './validate.ts';
import { validateSubresource } from './validate-subresource.ts';
import type { ValidationReview } from './validation-review.ts';
import { whileAwaited } from './while-awaited.ts';
import { within } from './within.ts';

// As long as a busy API server takes for a read. A pod that was mutated later would only hold a place among those that wait for an API server.
const patienceMs = 500;

/** What admission is decided with. */
export interface AdmissionParts {
  readonly keys: LabelKeys;
  readonly installation: InstallationPolicy;
  /** Gives a namespace's labels as they are now, undefined if there is none. Absent outside of a cluster: no namespace has a policy. */
  readonly readNamespace: ((name: string) => Promise<Labels>) | undefined;
  /** Waited for before a change of a namespace's policy is admitted. */
  readonly announceChange?: (namespace: string, signal?: AbortSignal) => Promise<void>;
  /** Undefined: no sum of rates is kept. */
  readonly quota: Pick<QuotaKeeper, 'check'> | undefined;
}

/** How something is decided. */
export interface DecideOptions {
  /** As long as it waits for the decision, the API server is asked again when it did not answer. */
  readonly caller?: Caller;
}

/** How something is validated. */
export interface ValidateOptions extends DecideOptions {
  /** Whether a new pod without its stamp is refused. If not, it is stamped later: mutation may have been skipped. */
  readonly isStrict?: boolean;
}

/** Both halves of admission; each throws where nothing can be decided. */
export interface Admission {
  mutate(review: PodReview, how?: DecideOptions): Promise<Decision>;
  validate(review: ValidationReview, how?: ValidateOptions): Promise<Decision>;
}

/** Joins the decisions with the policy of the namespace as it is at the time of the request. */
export function createAdmission(parts: AdmissionParts): Admission {
  const { keys, installation, readNamespace, announceChange, quota } = parts;
  const policyOf = async (namespace: string, caller?: Caller): Promise<Policy | undefined> => {
    const labels = readNamespace && (await whileAwaited(() => readNamespace(namespace), caller));
    const policy = parsePolicy(labels, installation);
    return policy && withInstallation(policy, installation);
  };
  /** What can be stamped is stamped, whatever became of the API server: validation is asked about a pod whose policy is unknown. */
  const policySoon = ({ namespace }: PodReview): Promise<FoundPolicy> =>
    within(patienceMs, policyOf(namespace), unknownPolicy).catch(() => unknownPolicy);

  return {
    async mutate(review, { caller } = {}) {
      // Whether a changed pod is validated does not depend on the policy.
      const isNew = review.oldPod === undefined;
      if (!needsPolicy(review.pod, keys)) return decide(review, keys, isNew ? await policySoon(review) : undefined);
      try {
        return decide(review, keys, await policyOf(review.namespace, caller));
      } catch (error) {
        // Validation refuses the pod for it, if it is to be refused.
        if (error instanceof PolicyError) return decide(review, keys, unknownPolicy);
        throw error;
      }
    },
    async validate({ namespace, name, dryRun, subject }, { isStrict = false, caller } = {}) {
      if (subject.kind === 'subresource') return validateSubresource(subject.before, subject.after, keys);
      if (subject.kind === 'namespace') {
        const decision = validateNamespace(subject.labels, subject.oldLabels, installation);
        if (decision.outcome !== 'deny' && !dryRun && changesPolicy(subject))
          await announceChange?.(name, caller?.signal);
        return decision;
      }
      try {
        const policy = await policyOf(namespace, caller);
        if (subject.kind === 'template') return validateTemplate(subject, keys, policy);
        const checkQuota: QuotaKeeper['check'] | undefined =
          quota && ((request) => quota.check(request, caller?.signal));
        return await validatePod(subject.review, { keys, policy, checkQuota, mayLackStamp: !isStrict });
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error;
        // Only a namespace that was written while the webhook was away has such a policy.
        if (subject.kind === 'pod' && hasOldLabels(subject.review, keys)) return { outcome: 'leave', warnings: [] };
        const message = `namespace ${namespace} has no usable policy: ${error.message}`;
        return { outcome: 'deny', status: 403, code: error.code, message };
      }
    },
  };
}

function hasOldLabels({ pod, oldPod }: PodReview, keys: LabelKeys): boolean {
  return oldPod !== undefined && hasSameRateLabels(pod, oldPod, keys);
}
