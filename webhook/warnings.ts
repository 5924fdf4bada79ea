import { directions, isLimited } from '../rate/limit.ts';
import { formatRate } from '../rate/rate.ts';
import type { Stamped } from '../rate/stamp.ts';
import type { Pod } from './pod.ts';

// One packet of an ordinary Ethernet path every 100 ms, in bytes per second.
const onePacketPer100Ms = 15_000;

/**
 * What a user who limits or marks this pod should know, one line each. Kubernetes cuts a warning after 120 characters where there are many.
 */
export function warnings(pod: Pod, limit: Stamped): string[] {
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
  if (pod.spec?.hostNetwork === true && limit.dscp !== undefined) {
    found.push('hostNetwork: packets are not marked, for the pod has no network namespace of its own');
  }
  if (pod.spec?.hostNetwork === true && limited) {
    found.push("hostNetwork: the limit counts this pod's own sockets, without traffic over the node's loopback");
  }
  for (const direction of limited ? directions : []) {
    const key = `kubernetes.io/${direction}-bandwidth`;
    if (Object.hasOwn(pod.metadata.annotations ?? {}, key)) {
      found.push(`annotation ${key} is there too: a CNI plugin may limit the pod a second time`);
    }
  }
  return found;
}
