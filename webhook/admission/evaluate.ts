import { applyPolicy } from '../../rate/apply-policy.ts';
import { type LabelKeys, shapedLabel, shapedValue, stampAnnotation } from '../../rate/keys.ts';
import { directions, type Limit, noLimit, type Request } from '../../rate/limit.ts';
import type { Policy } from '../../rate/policy.ts';
import { formatStamp, readStamp, type Stamped } from '../../rate/stamp.ts';
import type { Fault } from './decision.ts';
import { isEnding, type Labelled, type Pod } from './pod.ts';
import { hasSameDscp, hasSameRateLabels, requestedDscp, requestedRates } from './requests.ts';

/** The values of a stamp's annotation and label; undefined where they are absent, or should be. */
export interface Stamp {
  readonly annotation: string | undefined;
  readonly label: string | undefined;
}

/** The stamp of a pod without a limit. */
export const noStamp: Stamp = { annotation: undefined, label: undefined };

/** A create or a change of a pod. */
export interface PodChange {
  readonly pod: Pod;
  /** The pod before the change; undefined when it is created. */
  readonly oldPod: Pod | undefined;
}

/** What a pod should be, and what is wrong with it. */
export interface Evaluation {
  /** The stamp as it should be. */
  readonly stamp: Stamp;
  /** What the stamp says. */
  readonly stamped: Stamped;
  /** What the labels ask for; undefined where no other stamp will do. */
  readonly asked: Request | undefined;
  /** A rate label that is no rate. */
  readonly malformed: Fault | undefined;
  /** A code point that is none, in a change that concerns it. It is refused whatever the namespace's mode. */
  readonly malformedDscp: Fault | undefined;
  /** Whether the change leaves the rate labels alone and does not ask for a new decision. */
  readonly hasOldRate: boolean;
}

/** Evaluates a pod by its labels and the policy of its namespace. */
export function evaluate(change: PodChange, keys: LabelKeys, policy?: Policy): Evaluation {
  const { pod, oldPod } = change;
  const hasOldRate = keepsRate(change, keys);
  const none = { stamped: {}, asked: undefined, malformed: undefined, malformedDscp: undefined, hasOldRate };
  // Removing the last finalizer must not need room in a quota.
  if (oldPod !== undefined && hasOldRate && isEnding(pod)) return { ...none, stamp: stampOf(oldPod) };
  const { dscp, malformed: badDscp } = requestedDscp(pod);
  const malformedDscp = oldPod !== undefined && hasSameDscp(pod, oldPod) ? undefined : badDscp;
  const marked = dscp === undefined ? {} : { dscp };
  const { asked, malformed } = requestedRates(pod, keys);
  if (asked === undefined) return { ...none, stamp: stampFor(marked), stamped: marked, malformed, malformedDscp };
  const kept = oldPod !== undefined && hasOldRate ? keptLimit(oldPod, asked) : undefined;
  const fresh = { ...applyPolicy(asked, policy).limit, ...marked };
  // The decision of a moment ago, if another webhook made the API server ask again.
  const isFresh = stampOf(pod).label === shapedValue && stampOf(pod).annotation === stampFor(fresh).annotation;
  const stamped = kept === undefined || isFresh ? fresh : { ...applyPolicy(kept, policy).limit, ...marked };
  return { ...none, stamp: stampFor(stamped), stamped, asked, malformedDscp };
}

/** Reports whether a change of a pod leaves its rate alone: its labels, and the stamp's label. */
function keepsRate({ pod, oldPod }: PodChange, keys: LabelKeys): boolean {
  if (oldPod === undefined) return false;
  // Any other value of the stamp's label asks for a decision as about a new pod.
  const { label } = stampOf(pod);
  return (label === undefined || label === shapedValue) && hasSameRateLabels(pod, oldPod, keys);
}

/** Returns the stamp for limits and a code point. */
export function stampFor(stamped: Stamped): Stamp {
  const isEmpty = Object.keys(stamped).length === 0;
  return isEmpty ? noStamp : { annotation: formatStamp(stamped), label: shapedValue };
}

/** Returns the stamp that a pod has. */
export function stampOf(pod: Labelled): Stamp {
  return { annotation: pod.annotations?.[stampAnnotation], label: pod.labels?.[shapedLabel] };
}

/** Returns the limit that a pod's stamp says; an empty one where it is absent or not as the webhook writes it. */
export function stampedLimitOf(pod: Labelled): Limit {
  const { dscp: _, ...limit } = readStamp(pod) ?? {};
  return limit;
}

// A policy that changed leaves running pods alone: they keep what an earlier one gave them, or did not give them. A
// stamp that contradicts the pod's own labels was not written by podrate: that pod has yet to meet a policy.
function keptLimit(oldPod: Pod, asked: Request): Request | undefined {
  const { egress = noLimit, ingress = noLimit } = stampedLimitOf(oldPod);
  const kept: Required<Request> = { egress, ingress };
  return directions.every((direction) => (asked[direction] ?? kept[direction]) === kept[direction]) ? kept : undefined;
}
