import { bandwidthLabels, bandwidthWarnings } from '../../rate/bandwidth.ts';
import { type LabelKeys, shapedLabel, stampAnnotation } from '../../rate/keys.ts';
import { canonicalLabels, directions, isLimited } from '../../rate/limit.ts';
import type { Policy } from '../../rate/policy.ts';
import { formatRate } from '../../rate/rate.ts';
import { isSandbox } from '../../rate/sandbox.ts';
import type { Stamped } from '../../rate/stamp.ts';
import type { Decision } from './decision.ts';
import { evaluate, type PodChange, stampOf } from './evaluate.ts';
import { setStrings } from './patch.ts';
import type { Pod } from './pod.ts';
import { hasRateLabel, hasSameRateLabels } from './requests.ts';

// One packet of an ordinary Ethernet path every 100 ms, in bytes per second.
const onePacketPer100Ms = 15_000;

/**
 * Decides about a pod before validation: refuses rate labels that are no rates and code points that are none, writes
 * the stamp that the labels and the policy give, and overwrites or removes any other stamp. Deciding again about the
 * patched pod changes nothing. Whether the policy allows the limit is for validation, which sees what other webhooks
 * make of the pod.
 * @param obeysBandwidth whether a new pod without a rate label gets those for its annotations of CNI plugins
 */
export function mutatePod(change: PodChange, keys: LabelKeys, policy?: Policy, obeysBandwidth = false): Decision {
  const { pod, oldPod } = change;
  const isAsked = obeysBandwidth && oldPod === undefined && !hasRateLabel(pod, keys);
  const derived = isAsked ? bandwidthLabels(pod.annotations, keys) : {};
  const asking = { ...pod, labels: { ...pod.labels, ...derived } };
  const { stamp, stamped, malformed, malformedDscp, hasOldRate } = evaluate({ pod: asking, oldPod }, keys, policy);
  if (malformedDscp !== undefined) return { outcome: 'deny', ...malformedDscp };
  const annotation = new Map([[stampAnnotation, stamp.annotation]]);
  const label = new Map([[shapedLabel, stamp.label]]);
  if (malformed !== undefined) {
    const mode = policy?.mode ?? 'enforce';
    // A pod that got in with a bad label must still lose its finalizers and be adopted.
    if (mode === 'enforce' && !hasOldRate) return { outcome: 'deny', ...malformed };
    return settle(pod, annotation, label, mode === 'audit' ? [] : [`this pod has no limit: ${malformed.message}`]);
  }
  const isNews = stamp.annotation !== undefined && (oldPod && stampOf(oldPod))?.annotation !== stamp.annotation;
  const isChanged = oldPod === undefined || !hasSameRateLabels(pod, oldPod, keys);
  const rewritten = isChanged ? canonical(pod, keys) : [];
  return settle(
    pod,
    annotation,
    new Map([...Object.entries(derived), ...rewritten, ...label]),
    isNews ? warnings(pod, stamped) : [],
  );
}

// A ReplicaSet whose selector names the rate label would disown a pod with a rewritten one and create another, without
// end. Whoever applies a pod declaratively would see a rewritten label as drift, for ever.
function canonical(pod: Pod, keys: LabelKeys): ReadonlyMap<string, string> {
  return pod.isControlled || pod.isApplied ? new Map() : canonicalLabels(pod.labels, keys);
}

type Desired = ReadonlyMap<string, string | undefined>;

function settle(pod: Pod, annotations: Desired, labels: Desired, told: readonly string[]): Decision {
  const operations = [...setStrings(pod, 'annotations', annotations), ...setStrings(pod, 'labels', labels)];
  if (operations.length === 0) return { outcome: 'leave', warnings: told };
  return { outcome: 'patch', operations, warnings: told };
}

// One line each. Kubernetes cuts a warning after 120 characters where there are many.
function warnings(pod: Pod, limit: Stamped): string[] {
  const found: string[] = [];
  for (const direction of directions) {
    const rate = limit[direction];
    if (rate !== undefined && rate < onePacketPer100Ms) {
      found.push(
        `${direction} ${formatRate(rate)}/s is less than one full packet (1500 bytes) per 100 ms: expect time-outs`,
      );
    }
  }
  const limited = isLimited(limit);
  if (pod.hostNetwork && limit.dscp !== undefined) {
    found.push('hostNetwork: packets are not marked, for the pod has no network namespace of its own');
  }
  if (pod.hostNetwork && limited) {
    found.push("hostNetwork: the limit counts this pod's own sockets, without traffic over the node's loopback");
  }
  if (limited && isSandbox(pod.runtimeClass)) {
    found.push(`runtimeClassName ${pod.runtimeClass}: the limit does not hold for a pod in a sandbox`);
  }
  return limited ? [...found, ...bandwidthWarnings(pod.annotations)] : found;
}
