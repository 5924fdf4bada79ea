/** What a pass compares the kernel with, made of the pods and the cgroup tree. */
import { isLimited } from '../../rate/limit.ts';
import type { PodCgroups } from '../cgroup/tree.ts';
import type { ShapedPod } from '../pods/desired.ts';
import { ownerOf } from '../pods/owner.ts';
import { configOfPod } from '../pods/slot-config.ts';
import type { SlotState } from '../shaper/steps.ts';
import type { Target } from './plan.ts';

/** Returns the pods' cgroups that should be limited. */
export function targetsOf(
  pods: readonly ShapedPod[],
  { byUid }: PodCgroups,
  slots: readonly SlotState[],
): readonly Target[] {
  const current = new Map(slots.filter(({ isMapped }) => isMapped).map((slot) => [slot.cgroupId, slot]));
  const targets = new Map<bigint, Target>();
  for (const pod of pods) {
    const cgroup = byUid.get(pod.cgroupUid);
    if (cgroup === undefined || pod.limit instanceof Error || targets.has(cgroup.id)) continue;
    // What is only marked needs no shaper.
    if (!isLimited(pod.limit)) continue;
    const owner = ownerOf(pod);
    const slot = current.get(cgroup.id);
    const config = configOfPod(pod.limit, pod, slot?.owner === owner ? slot.config : undefined);
    targets.set(cgroup.id, { owner, cgroup, config });
  }
  return [...targets.values()];
}

/** Returns the owners of pods with a stamp that cannot be read: they keep the limit that they have. */
export function keptOwners(pods: readonly ShapedPod[], { byUid }: PodCgroups): Set<string> {
  return new Set(pods.filter((pod) => pod.limit instanceof Error && byUid.has(pod.cgroupUid)).map(ownerOf));
}
