/** Names of those who hold slots. */
import type { ShapedPod } from './desired.ts';
import type { SlotState } from './state.ts';

/** The name under which a pod's cgroup holds its slot. */
export function ownerOf(pod: Pick<ShapedPod, 'cgroupUid'>): string {
  return `pod/${pod.cgroupUid}`;
}

/** Whether a slot was taken by hand, with the command line tool. */
export function isManual(slot: Pick<SlotState, 'owner'>): boolean {
  return slot.owner.startsWith('manual/');
}

/** The name under which a cgroup is limited by hand. */
export function manualOwner(cgroupId: bigint): string {
  return `manual/${cgroupId}`;
}
