/** Names of those who hold slots. */

import type { SlotState } from '../shaper/steps.ts';
import type { ShapedPod } from './desired.ts';

/** The name under which a pod's cgroup holds its slot. */
export function ownerOf(pod: Pick<ShapedPod, 'cgroupUid'>): string {
  return `pod/${pod.cgroupUid}`;
}

/** The uid of the pod that holds a slot; undefined if it is no pod's. */
export function uidOf({ owner }: Pick<SlotState, 'owner'>): string | undefined {
  return owner.startsWith('pod/') ? owner.slice('pod/'.length) : undefined;
}

/** Whether a slot was taken by hand, with the command line tool. */
export function isManual(slot: Pick<SlotState, 'owner'>): boolean {
  return slot.owner.startsWith('manual/');
}

/** The name under which a cgroup is limited by hand. */
export function manualOwner(cgroupId: bigint): string {
  return `manual/${cgroupId}`;
}
