import { type LabelKeys, shapedLabel, shapedValue, stampAnnotation } from '../rate/keys.ts';
import { canonicalLabels, directions, LabelError, type Limit, requestedLimit } from '../rate/limit.ts';
import { formatStamp } from '../rate/stamp.ts';
import { type Operation, setStrings } from './patch.ts';
import { isMirror, isOwned, type Pod } from './pod.ts';
import { warnings } from './warnings.ts';

/** What is to be decided about: a pod that somebody creates or changes. */
export interface PodChange {
  readonly pod: Pod;
  /** The pod before the change; undefined when it is created. */
  readonly oldPod: Pod | undefined;
  /** Whether a kubelet asks. */
  readonly byNode: boolean;
}

/** The answer about a pod. */
export type Decision =
  | { readonly outcome: 'leave'; readonly warnings: readonly string[] }
  | { readonly outcome: 'patch'; readonly operations: readonly Operation[]; readonly warnings: readonly string[] }
  /** `status` is the HTTP status for the user, `code` names the reason for programs. */
  | { readonly outcome: 'deny'; readonly status: number; readonly code: string; readonly message: string };

/** The stamp as it should be: values of the annotation and the label, undefined where they should not be. */
interface Stamp {
  readonly annotation: string | undefined;
  readonly label: string | undefined;
}

const noStamp: Stamp = { annotation: undefined, label: undefined };

/**
 * Decides about a pod from its own metadata: refuses rate labels that are no rates, stamps the limit, removes or overwrites any
 * other stamp, and rewrites the rate labels to their canonical form where no controller would take the pod for a stranger then.
 * Deciding again about the patched pod changes nothing.
 */
export function decide(change: PodChange, keys: LabelKeys): Decision {
  const { pod, oldPod } = change;
  if (isMirror(pod)) return change.byNode ? leave([]) : decideMirror(pod, oldPod);

  const labels = pod.metadata.labels ?? undefined;
  let limit: Limit | undefined;
  try {
    limit = requestedLimit(labels, keys);
  } catch (error) {
    if (!(error instanceof LabelError)) throw error;
    // A pod that got in with a bad label while the webhook was away must still lose its finalizers and be adopted.
    if (oldPod !== undefined && hasSameRateLabels(pod, oldPod, keys)) {
      return settle(pod, noStamp, new Map(), [`this pod has no limit: ${error.message}`]);
    }
    return { outcome: 'deny', status: 422, code: error.code, message: error.message };
  }

  if (limit === undefined || directions.every((direction) => limit[direction] === undefined)) {
    return settle(pod, noStamp, rewritten(pod, keys), []);
  }
  const stamp = { annotation: formatStamp(limit), label: shapedValue };
  const isNews = stampOf(oldPod).annotation !== stamp.annotation;
  return settle(pod, stamp, rewritten(pod, keys), isNews ? warnings(pod, limit) : []);
}

// A mirror pod is what a static pod's kubelet says it is. Nobody else may stamp one, nor make a stamped pod into one: with a static
// pod's hash in its annotations, it would limit that pod, an API server perhaps.
function decideMirror(pod: Pod, oldPod: Pod | undefined): Decision {
  if (oldPod !== undefined && isMirror(oldPod)) return settle(pod, stampOf(oldPod), new Map(), []);
  return settle(pod, noStamp, new Map(), [
    'this pod has no limit: its annotations say static pod, and a kubelet did not write it',
  ]);
}

// A ReplicaSet whose selector names the rate label would disown a pod with a rewritten one and create another, without end.
function rewritten(pod: Pod, keys: LabelKeys): ReadonlyMap<string, string> {
  return isOwned(pod) ? new Map() : canonicalLabels(pod.metadata.labels ?? undefined, keys);
}

function settle(pod: Pod, stamp: Stamp, rateLabels: ReadonlyMap<string, string>, told: readonly string[]): Decision {
  const operations = [
    ...setStrings(pod, 'annotations', new Map([[stampAnnotation, stamp.annotation]])),
    ...setStrings(pod, 'labels', new Map<string, string | undefined>([...rateLabels, [shapedLabel, stamp.label]])),
  ];
  return operations.length === 0 ? leave(told) : { outcome: 'patch', operations, warnings: told };
}

function leave(told: readonly string[]): Decision {
  return { outcome: 'leave', warnings: told };
}

function stampOf(pod: Pod | undefined): Stamp {
  return { annotation: pod?.metadata.annotations?.[stampAnnotation], label: pod?.metadata.labels?.[shapedLabel] };
}

function hasSameRateLabels(one: Pod, other: Pod, keys: LabelKeys): boolean {
  return Object.values(keys).every((key) => one.metadata.labels?.[key] === other.metadata.labels?.[key]);
}
