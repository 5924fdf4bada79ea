import { applyPolicy } from '../rate/apply-policy.ts';
import { type LabelKeys, shapedLabel, shapedValue, stampAnnotation } from '../rate/keys.ts';
import { canonicalLabels, directions, LabelError, type Limit, requestedRates } from '../rate/limit.ts';
import type { Mode, Policy } from '../rate/policy.ts';
import { formatStamp } from '../rate/stamp.ts';
import { type Operation, setStrings } from './patch.ts';
import { isFinished, isMirror, isOwned, type Pod } from './pod.ts';
import { warnings } from './warnings.ts';

/** The values of a stamp's annotation and label; undefined where they are not there, or should not be. */
export interface Stamp {
  readonly annotation: string | undefined;
  readonly label: string | undefined;
}

const noStamp: Stamp = { annotation: undefined, label: undefined };

/** What is to be decided about: a pod that somebody creates or changes. */
export interface PodChange {
  readonly pod: Pod;
  /** The pod before the change; undefined when it is created. */
  readonly oldPod: Pod | undefined;
  /** Whether a kubelet asks. */
  readonly byNode: boolean;
}

/** What a pod or a namespace does wrong. */
export interface Fault {
  /** The HTTP status for the user. */
  readonly status: number;
  /** The reason, for programs. */
  readonly code: string;
  readonly message: string;
}

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

/** What a pod should be, and what is wrong with it. */
export interface Judgement {
  /** The stamp as it should be. */
  readonly stamp: Stamp;
  /** What the stamp says. */
  readonly limit: Limit;
  /** What its writer should know about a limit that is not refused. */
  readonly warnings: readonly string[];
  /** A rate label that is no rate. */
  readonly malformed: Fault | undefined;
  /** How the pod breaks the namespace's policy. */
  readonly violations: readonly Fault[];
  /** Whether the rate labels are as they were, so that this change is about something else. */
  readonly hasOldLabels: boolean;
}

/**
 * Decides about a pod: refuses rate labels that are no rates, stamps the limit that they and the namespace's policy give, removes or
 * overwrites any other stamp, and rewrites the rate labels to their canonical form where no controller would take the pod for a
 * stranger then. Deciding again about the patched pod changes nothing. Whether the policy allows the limit is for validation to
 * say, which sees what other webhooks make of the pod.
 */
export function decide(change: PodChange, keys: LabelKeys, policy?: Policy): Decision {
  const { pod } = change;
  const { stamp, warnings: told, malformed, hasOldLabels } = judge(change, keys, policy);
  if (malformed !== undefined) {
    const mode = policy?.mode ?? 'enforce';
    // A pod that got in with a bad label while the webhook was away must still lose its finalizers and be adopted.
    if (mode === 'enforce' && !hasOldLabels) return { outcome: 'deny', ...malformed };
    return settle(pod, stamp, new Map(), mode === 'audit' ? [] : [`this pod has no limit: ${malformed.message}`]);
  }
  return settle(pod, stamp, isMirror(pod) ? new Map() : rewritten(pod, keys), told);
}

/** Finds what a pod should be, by itself and by the policy of its namespace. */
export function judge(change: PodChange, keys: LabelKeys, policy?: Policy): Judgement {
  const { pod, oldPod, byNode } = change;
  const none = { limit: {}, warnings: [], malformed: undefined, violations: [] };
  const hasOldLabels = oldPod !== undefined && hasSameRateLabels(pod, oldPod, keys);
  if (isMirror(pod)) {
    if (byNode) return { ...none, stamp: stampOf(pod), hasOldLabels };
    return { ...none, ...judgeMirror(oldPod), hasOldLabels };
  }
  // Whoever takes the last finalizer off must not need room in a quota for it.
  if (oldPod !== undefined && hasOldLabels && isEnding(pod)) return { ...none, stamp: stampOf(oldPod), hasOldLabels };
  try {
    const { limit, violations } = applyPolicy(requestedRates(pod.metadata.labels ?? undefined, keys), policy);
    const isLimited = directions.some((direction) => limit[direction] !== undefined);
    const stamp = isLimited ? { annotation: formatStamp(limit), label: shapedValue } : noStamp;
    const isNews = isLimited && stampOf(oldPod).annotation !== stamp.annotation;
    const faults = violations.map((violation) => ({ status: 403, ...violation }));
    return { ...none, stamp, limit, violations: faults, hasOldLabels, warnings: isNews ? warnings(pod, limit) : [] };
  } catch (error) {
    if (!(error instanceof LabelError)) throw error;
    const malformed = { status: 422, code: error.code, message: error.message };
    return { ...none, stamp: noStamp, malformed, hasOldLabels };
  }
}

/** The stamp that a pod has. */
export function stampOf(pod: Pick<Pod, 'metadata'> | undefined): Stamp {
  return { annotation: pod?.metadata.annotations?.[stampAnnotation], label: pod?.metadata.labels?.[shapedLabel] };
}

// A mirror pod is what a static pod's kubelet says it is. Nobody else may stamp one, nor make a stamped pod into one: with a static
// pod's hash in its annotations, it would limit that pod, an API server perhaps.
function judgeMirror(oldPod: Pod | undefined): Pick<Judgement, 'stamp' | 'warnings'> {
  if (oldPod !== undefined && isMirror(oldPod)) return { stamp: stampOf(oldPod), warnings: [] };
  const told = 'this pod has no limit: its annotations say static pod, and a kubelet did not write it';
  return { stamp: noStamp, warnings: [told] };
}

function isEnding(pod: Pod): boolean {
  return isFinished(pod) || typeof pod.metadata.deletionTimestamp === 'string';
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
  return operations.length === 0
    ? { outcome: 'leave', warnings: told }
    : { outcome: 'patch', operations, warnings: told };
}

/** Tells whether two objects with labels have the same rate labels. */
export function hasSameRateLabels(one: Labelled, other: Labelled, keys: LabelKeys): boolean {
  return Object.values(keys).every((key) => one.metadata.labels?.[key] === other.metadata.labels?.[key]);
}

type Labelled = { readonly metadata: Pick<Pod['metadata'], 'labels'> };
