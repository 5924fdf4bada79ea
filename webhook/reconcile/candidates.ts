import type { KubeConfig } from '@kubernetes/client-node';
import { listMetadata, type ObjectMeta } from '../../kube/list.ts';
import type { LabelKeys } from '../../rate/keys.ts';
import { directions } from '../../rate/limit.ts';
import type { InstallationPolicy, Policy } from '../../rate/policy.ts';
import { readStamp } from '../../rate/stamp.ts';
import { usablePolicy } from '../admission/admission.ts';
import { evaluate } from '../admission/evaluate.ts';
import { isMirror, readPod } from '../admission/pod.ts';
import { requestedRates } from '../admission/requests.ts';
import { isAllowed } from '../admission/validate-pod.ts';
import type { PolicyNamespace } from '../cluster/policies.ts';

/** What pods are looked for with. */
export interface CandidateOptions {
  readonly kubeConfig: KubeConfig;
  readonly keys: LabelKeys;
  readonly installation: InstallationPolicy;
  /** The namespaces with a policy. */
  readonly policies: () => ReadonlyMap<string, PolicyNamespace>;
  /** Namespaces about which admission is never asked. */
  readonly exemptNamespaces: readonly string[];
}

const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';

/** A pod that needs another stamp, or that can have none. */
export interface Candidate {
  readonly metadata: ObjectMeta;
  /** The sentence about a rate label that gives no stamp; undefined if the pod needs another one. */
  readonly malformed: string | undefined;
  /** Reports whether the pod, as it is after an update, still has a wrong stamp. */
  readonly isWrong: (metadata: ObjectMeta) => boolean;
}

/**
 * Finds the running pods whose stamp is not one that their labels and their namespace's policy give: they came, or were
 * changed, while the webhook could not be asked.
 * @param scope labelled: the pods with a rate label and those in namespaces with a policy. A selector finds no
 * annotation, so a pod that asks for a code point alone may be missing, which a list of all pods finds
 * @returns them by their uid
 * @throws ApiFailure
 */
export async function findCandidates(
  options: CandidateOptions,
  scope: 'all' | 'labelled',
): Promise<ReadonlyMap<string, Candidate>> {
  const { kubeConfig, keys, installation, policies, exemptNamespaces } = options;
  const found = new Map<string, Candidate>();
  const add = (metadata: ObjectMeta) => {
    const { namespace = '', uid = '', labels, annotations, deletionTimestamp } = metadata;
    if (exemptNamespaces.includes(namespace) || deletionTimestamp !== undefined || isMirror({ labels, annotations }))
      return;
    const place = policies().get(namespace);
    const policy = place && policyAtCreation(place, metadata, installation);
    const isWrong = (pod: ObjectMeta) => hasWrongStamp(pod, keys, policy);
    if (isWrong(metadata)) found.set(uid, { metadata, malformed: undefined, isWrong });
    else {
      const malformed = requestedRates({ labels }, keys).malformed?.message;
      if (malformed !== undefined) found.set(uid, { metadata, malformed, isWrong });
    }
  };
  const list = (path: string, labelSelector = '') => {
    const selection = { labelSelector, fieldSelector: unfinished };
    return listMetadata({ kubeConfig, path, selection, what: 'the pods that may lack a stamp' }, add);
  };
  if (scope === 'all') {
    await list('/api/v1/pods');
    return found;
  }
  // A selector cannot say "or".
  for (const key of Object.values(keys)) await list('/api/v1/pods', key);
  const unlabelled = Object.values(keys).map((key) => `!${key}`);
  for (const namespace of policies().keys()) {
    await list(`/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`, unlabelled.join(','));
  }
  return found;
}

/**
 * Returns a namespace's policy if it is usable and older than a pod: a policy that changes leaves running pods alone.
 */
function policyAtCreation(
  { labels, sinceMs }: PolicyNamespace,
  { creationTimestamp = '' }: ObjectMeta,
  { max }: InstallationPolicy,
): Policy | undefined {
  if (sinceMs === undefined || !(Date.parse(creationTimestamp) >= sinceMs)) return undefined;
  // Nothing says since when the installation has its default.
  return usablePolicy(labels, { default: {}, max }).policy;
}

/**
 * Reports whether a running pod has a stamp that its rate labels and a policy do not allow.
 * @param policy the policy that the pod met when it was created; undefined if that is not known
 */
export function hasWrongStamp(metadata: ObjectMeta, keys: LabelKeys, policy: Policy | undefined): boolean {
  const pod = readPod({ metadata });
  const evaluation = evaluate({ pod, oldPod: undefined }, keys, policy);
  if (!isAllowed(pod, evaluation)) return true;
  const said = readStamp(pod);
  // What labels ask for is not refused late, but a stamp without a label may be forged.
  return directions.some((direction) => {
    const rate = said?.[direction];
    if (evaluation.asked?.[direction] !== undefined || policy === undefined || rate === undefined) return false;
    return rate > (policy.max[direction] ?? rate) || rate < (policy.min[direction] ?? rate);
  });
}
