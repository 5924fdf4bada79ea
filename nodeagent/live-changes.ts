import { isLimited } from '../rate/limit.ts';
import type { ShapedPod } from './desired.ts';
import { ownerOf } from './owner.ts';
import { sameConfig } from './plan.ts';
import { configOfPod } from './slot-config.ts';
import type { SlotState, Step } from './state.ts';

/**
 * The steps that bring changed labels into force, planned from what the last pass saw: so they need no look at the kernel first, and
 * the look that checks them comes after. Only the agent gives a pod's slot away, so what it saw still holds.
 * @param slots those that the last pass left behind; empty where the maps were loaded anew since
 */
export function liveChanges(pods: readonly ShapedPod[], slots: readonly SlotState[]): Step[] {
  const inForce = new Map(slots.filter((slot) => slot.marked).map((slot) => [slot.owner, slot]));
  return pods.flatMap((pod): Step[] => {
    const slot = inForce.get(ownerOf(pod));
    // One that asks for no limit any more is set free and let go, which is no change of its config.
    if (slot === undefined || pod.limit instanceof Error || !isLimited(pod.limit)) return [];
    const config = configOfPod(pod.limit, pod, slot.config);
    if (sameConfig(slot.config, config)) return [];
    return [{ kind: 'update', generation: slot.generation, slot: slot.slot, owner: slot.owner, config }];
  });
}
