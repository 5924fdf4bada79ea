import { applyPolicy } from '../rate/apply-policy.ts';
import { type LabelKeys, shapedLabel, shapedValue, stampAnnotation } from '../rate/keys.ts';
import { directions, LabelError, type Limit, noLimit, type Request, requestedRates } from '../rate/limit.ts';
import type { Policy } from '../rate/policy.ts';
import { formatStamp, StampError, type Stamped, stampedLimit } from '../rate/stamp.ts';
import { askedMark, hasSameMark } from './mark-annotation.ts';
import { isFinished, isMirror, type Pod } from './pod.ts';
import { hasSameRateLabels } from './rate-labels.ts';
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
  /** A code point that is none, where the change is about it. It is refused whatever the namespace's mode. */
  readonly malformedMark: Fault | undefined;
  /** How the pod breaks the namespace's policy. */
  readonly violations: readonly Fault[];
  /** Whether the change is about something else than the pod's rate. */
  readonly hasOldRate: boolean;
}

/** Finds what a pod should be, by itself and by the policy of its namespace. */
export function judge(change: PodChange, keys: LabelKeys, policy?: Policy): Judgement {
  const { pod, oldPod, byNode } = change;
  const hasOldRate = oldPod !== undefined && isMirror(pod) === isMirror(oldPod) && hasSameRateLabels(pod, oldPod, keys);
  const nothing = { limit: {}, warnings: [], malformed: undefined, malformedMark: undefined, violations: [] };
  const none = { ...nothing, hasOldRate };
  if (isMirror(pod)) {
    if (byNode) return { ...none, stamp: stampOf(pod) };
    return { ...none, ...judgeMirror(oldPod, policy) };
  }
  // Whoever takes the last finalizer off must not need room in a quota for it.
  if (oldPod !== undefined && hasOldRate && isEnding(pod)) return { ...none, stamp: stampOf(oldPod) };
  const { dscp, malformed: badMark } = askedMark(pod);
  const malformedMark = oldPod !== undefined && hasSameMark(pod, oldPod) ? undefined : badMark;
  const marked = dscp === undefined ? {} : { dscp };
  try {
    const asked = requestedRates(pod.metadata.labels ?? undefined, keys);
    const kept =
      oldPod !== undefined && hasOldRate && !asksForStamp(pod, oldPod, stampFor(marked))
        ? keptLimit(oldPod, asked)
        : undefined;
    const { limit, violations } = applyPolicy(kept ?? asked, policy);
    const stamped = { ...limit, ...marked };
    const stamp = stampFor(stamped);
    const isNews = stamp.annotation !== undefined && stampOf(oldPod).annotation !== stamp.annotation;
    const faults = violations.map((violation) => ({ status: 403, ...violation }));
    const told = isNews ? warnings(pod, stamped) : [];
    return { ...none, stamp, limit, malformedMark, violations: faults, warnings: told };
  } catch (error) {
    if (!(error instanceof LabelError)) throw error;
    const malformed = { status: 422, code: error.code, message: error.message };
    return { ...none, stamp: stampFor(marked), malformed, malformedMark };
  }
}

function stampFor(stamped: Stamped): Stamp {
  const isEmpty = Object.keys(stamped).length === 0;
  return isEmpty ? noStamp : { annotation: formatStamp(stamped), label: shapedValue };
}

/** The stamp that a pod has. */
export function stampOf(pod: Pick<Pod, 'metadata'> | undefined): Stamp {
  return { annotation: pod?.metadata.annotations?.[stampAnnotation], label: pod?.metadata.labels?.[shapedLabel] };
}

/** The limit that a pod's stamp says; nothing where it is not as the webhook writes it. */
export function stampedLimitOf({ metadata }: Pick<Pod, 'metadata'>): Limit {
  try {
    const stamp = stampedLimit({ labels: metadata.labels ?? {}, annotations: metadata.annotations ?? {} });
    const { dscp: _, ...limit } = stamp ?? {};
    return limit;
  } catch (error) {
    if (error instanceof StampError) return {};
    throw error;
  }
}

// A mirror pod is what a static pod's kubelet says it is. Nobody else may stamp one, nor make a stamped pod into one: with a static
// pod's hash in its annotations, it would limit that pod, an API server perhaps. Nor does the hash get a pod past the policy.
function judgeMirror(oldPod: Pod | undefined, policy: Policy | undefined): Partial<Judgement> & { stamp: Stamp } {
  if (oldPod !== undefined && isMirror(oldPod)) return { stamp: stampOf(oldPod) };
  const told = 'this pod has no limit: its annotations say static pod, and a kubelet did not write it';
  const { violations } = applyPolicy({ egress: noLimit, ingress: noLimit }, policy);
  const faults = violations.map(({ code, message }) => ({ status: 403, code, message: `${message}: ${told}` }));
  return { stamp: noStamp, warnings: [told], violations: faults };
}

// Whoever puts the stamp's label on a pod without a stamp, whatever its value, asks to have the policy decide as about a new pod. Mutation
// puts it there too when a pod without a stamp gets a code point: then the stamp says the code point alone, and nobody has asked.
function asksForStamp(pod: Pod, oldPod: Pod, ofMark: Stamp): boolean {
  const [old, { annotation, label }] = [stampOf(oldPod), stampOf(pod)];
  if (old.annotation !== undefined || old.label === shapedValue || label === undefined) return false;
  return annotation !== ofMark.annotation || label !== ofMark.label;
}

// A policy that changed leaves running pods alone: they keep what an earlier one gave them, or did not give them. A stamp that does
// not fit the pod's own labels is none of ours: the pod got in while the webhook was away, and has yet to meet a policy.
function keptLimit(oldPod: Pod, asked: Request): Request | undefined {
  const { egress = noLimit, ingress = noLimit } = stampedLimitOf(oldPod);
  const kept: Required<Request> = { egress, ingress };
  return directions.every((direction) => (asked[direction] ?? kept[direction]) === kept[direction]) ? kept : undefined;
}

function isEnding(pod: Pod): boolean {
  return isFinished(pod) || typeof pod.metadata.deletionTimestamp === 'string';
}
