import { type LabelKeys, policyAnnotation, shapedLabel, stampAnnotation, unknownPolicy } from '../rate/keys.ts';
import { canonicalLabels, directions, LabelError, requestedRates } from '../rate/limit.ts';
import type { Mode, Policy } from '../rate/policy.ts';
import { type Fault, judge, type PodChange, type Stamp } from './judge.ts';
import { type Operation, setStrings } from './patch.ts';
import { isMirror, isOwned, type Pod } from './pod.ts';

/** A namespace's policy as far as it is known: undefined where there is none, unknown where it could not be read or is unusable. */
export type FoundPolicy = Policy | typeof unknownPolicy | undefined;

/** Key to value; undefined: none. */
type Wanted = ReadonlyMap<string, string | undefined>;

/** The answer about an object. */
export type Decision =
  | {
      readonly outcome: 'leave';
      readonly warnings: readonly string[];
      /** What would have been refused if the namespace's mode were to enforce. */
      readonly fault?: Fault & { readonly mode: Mode };
    }
  | { readonly outcome: 'patch'; readonly operations: readonly Operation[]; readonly warnings: readonly string[] }
  | (Fault & { readonly outcome: 'deny' });

/**
 * Decides about a pod: refuses rate labels that are no rates and code points that are none, stamps what they and the namespace's policy give, removes or
 * overwrites any other stamp, and rewrites the rate labels to their canonical form where no controller would take the pod for a
 * stranger then. Deciding again about the patched pod changes nothing. Whether the policy allows the limit is for validation to
 * say, which sees what other webhooks make of the pod; a new pod for which there is, or may be, a policy is marked for it.
 */
export function decide(change: PodChange, keys: LabelKeys, found?: FoundPolicy): Decision {
  const { pod } = change;
  const policy = found === unknownPolicy ? undefined : found;
  const { stamp, warnings: told, malformed, malformedMark, hasOldRate } = judge(change, keys, policy);
  if (malformedMark !== undefined) return { outcome: 'deny', ...malformedMark };
  const annotations: Wanted = new Map([
    [stampAnnotation, stamp.annotation],
    ...policyAnnotations(change, stamp, found),
  ]);
  const label: Wanted = new Map([[shapedLabel, stamp.label]]);
  if (malformed !== undefined) {
    const mode = policy?.mode ?? 'enforce';
    // A pod that got in with a bad label while the webhook was away must still lose its finalizers and be adopted.
    if (mode === 'enforce' && !hasOldRate) return { outcome: 'deny', ...malformed };
    return settle(pod, annotations, label, mode === 'audit' ? [] : [`this pod has no limit: ${malformed.message}`]);
  }
  return settle(pod, annotations, new Map([...(isMirror(pod) ? [] : rewritten(pod, keys)), ...label]), told);
}

/**
 * Tells whether a decision about a pod needs the policy of its namespace: it does where the labels leave a direction to a default,
 * or are no rates. Whether a new pod is to be validated needs it for all.
 */
export function needsPolicy({ metadata }: Pod, keys: LabelKeys): boolean {
  try {
    const request = requestedRates(metadata.labels ?? undefined, keys);
    return directions.some((direction) => request[direction] === undefined);
  } catch (error) {
    if (error instanceof LabelError) return true;
    throw error;
  }
}

// A ReplicaSet whose selector names the rate label would disown a pod with a rewritten one and create another, without end.
function rewritten(pod: Pod, keys: LabelKeys): ReadonlyMap<string, string> {
  return isOwned(pod) ? new Map() : canonicalLabels(pod.metadata.labels ?? undefined, keys);
}

// Of a new pod only: what follows from it, whether validation is asked, is about new pods.
function policyAnnotations({ pod, oldPod }: PodChange, stamp: Stamp, found: FoundPolicy): Wanted {
  if (oldPod !== undefined || isMirror(pod)) return new Map();
  const value = typeof found === 'object' ? found.mode : found;
  return new Map([[policyAnnotation, stamp.annotation === undefined ? undefined : value]]);
}

function settle(pod: Pod, annotations: Wanted, labels: Wanted, told: readonly string[]): Decision {
  const operations = [...setStrings(pod, 'annotations', annotations), ...setStrings(pod, 'labels', labels)];
  return operations.length === 0
    ? { outcome: 'leave', warnings: told }
    : { outcome: 'patch', operations, warnings: told };
}
