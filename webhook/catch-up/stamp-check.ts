import type { LabelKeys } from '../../rate/keys.ts';
import { directions, LabelError, noLimit, requestedRates } from '../../rate/limit.ts';
import { formatStamp, StampError, stampedLimit } from '../../rate/stamp.ts';
import { stampOf } from '../judge.ts';
import { askedMark } from '../mark-annotation.ts';
import { isFinished, isMirror, type Pod } from '../pod.ts';

/**
 * Tells whether a running pod has no stamp that fits its rate labels. Only the directions that the labels name are looked at: what
 * the others have came from the policy at the pod's last admission, and a policy that changes leaves running pods alone. A pod whose
 * label is no rate has no stamp that could fit; one without a rate label, which its policy gives a default, lacks any.
 */
export function lacksStamp(pod: Pod, keys: LabelKeys): boolean {
  const { labels, annotations, deletionTimestamp } = pod.metadata;
  if (isMirror(pod) || isFinished(pod) || typeof deletionTimestamp === 'string') return false;
  try {
    const request = requestedRates(labels ?? undefined, keys);
    const named = directions.filter((direction) => request[direction] !== undefined);
    const limit = stampedLimit({ labels: labels ?? {}, annotations: annotations ?? {} });
    if (named.length === 0) return limit === undefined;
    const text = limit === undefined ? undefined : formatStamp(limit);
    const { annotation, label } = stampOf(pod);
    if (annotation !== text || (limit === undefined && label !== undefined)) return true;
    if (askedMark(pod).dscp !== limit?.dscp) return true;
    return named.some((direction) => (limit?.[direction] ?? noLimit) !== request[direction]);
  } catch (error) {
    if (error instanceof LabelError || error instanceof StampError) return true;
    throw error;
  }
}
