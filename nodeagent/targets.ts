/** What a pass compares the kernel with, made of the pods and the cgroup tree. */
import { isLimited } from '../rate/limit.ts';
import type { Cgroups, PodCgroups } from './cgroups.ts';
import type { ShapedPod } from './desired.ts';
import { isManual, ownerOf } from './owner.ts';
import type { Target } from './plan.ts';
import { configOfPod } from './slot-config.ts';
import { type Cgroup, type Observation, type SlotState, slotKey } from './state.ts';

/** The cgroups that should be limited, of pods and, while they move to a new generation, of those limited by hand. */
export function targetsOf(
  pods: readonly ShapedPod[],
  tree: PodCgroups,
  { generation, slots }: Observation,
  existing: ReadonlyMap<bigint, Cgroup>,
): Target[] {
  const targets = new Map<bigint, Target>();
  for (const pod of pods) {
    const cgroup = tree.byUid.get(pod.cgroupUid);
    if (cgroup === undefined || pod.limit instanceof Error || targets.has(cgroup.id)) continue;
    // What is only marked needs no shaper.
    if (!isLimited(pod.limit)) continue;
    const owner = ownerOf(pod);
    const current = slots.find((slot) => slot.owner === owner && slot.cgroupId === cgroup.id && slot.marked);
    targets.set(cgroup.id, { owner, cgroup, config: configOfPod(pod.limit, pod, current?.config) });
  }
  // What was limited by hand is the command line tool's, but an old generation must be left all the same.
  for (const old of slots) {
    const cgroup = existing.get(old.cgroupId);
    if (old.generation === generation || !isManual(old) || cgroup === undefined) continue;
    const moved = slots.find((slot) => slot.generation === generation && slot.owner === old.owner && slot.marked);
    if (targets.has(cgroup.id) || old.config.release || (!old.marked && moved === undefined)) continue;
    targets.set(cgroup.id, { owner: old.owner, cgroup, config: moved?.config ?? old.config });
  }
  return [...targets.values()];
}

/** The owners of pods with a stamp that cannot be read: they keep the limit that they have. */
export function keptOwners(pods: readonly ShapedPod[], tree: PodCgroups): Set<string> {
  return new Set(pods.filter((pod) => pod.limit instanceof Error && tree.byUid.has(pod.cgroupUid)).map(ownerOf));
}

/** All cgroups that slots are for and that exist: the pods' from the scan, others by a walk, which is only made if need be. */
export async function existingCgroups(
  cgroups: Cgroups,
  tree: PodCgroups,
  { slots, known, generation }: Observation,
): Promise<Map<bigint, Cgroup>> {
  const existing = new Map([...tree.byUid.values()].map((cgroup) => [cgroup.id, cgroup]));
  const unknown = new Set<bigint>();
  const settled = new Set<bigint>();
  for (const slot of slots) {
    if (existing.has(slot.cgroupId)) continue;
    // The kernel forgets a cgroup's entry when the cgroup ends, so an entry may be alive and a claim without one may be new.
    const alive = known.get(slot.generation)?.has(slot.cgroupId) ?? false;
    if (alive && isManual(slot) && slot.generation === generation) settled.add(slot.cgroupId);
    else if (alive || isManual(slot)) unknown.add(slot.cgroupId);
  }
  // Nothing is going to be done on what is limited by hand and in order: where it is does not matter.
  for (const id of settled) if (!unknown.has(id)) existing.set(id, { id, path: '' });
  for (const [id, cgroup] of await cgroups.find(unknown)) existing.set(id, cgroup);
  return existing;
}

/**
 * The cgroups whose programs must be read one by one: where the books are in order, the mark tells what is attached; where a step
 * was interrupted, only the cgroup itself does.
 */
export function doubtful(
  tree: PodCgroups,
  pods: readonly ShapedPod[],
  slots: readonly SlotState[],
  known: Observation['known'],
): Cgroup[] {
  const cgroupOf = new Map([...tree.byUid.values()].map((cgroup) => [cgroup.id, cgroup]));
  const claims = new Set(slots.map(slotKey));
  const involved = new Set(slots.map((slot) => slot.cgroupId));
  for (const pod of pods) {
    const cgroup = tree.byUid.get(pod.cgroupUid);
    if (cgroup !== undefined) involved.add(cgroup.id);
  }
  const found = new Set<Cgroup>();
  for (const [generation, slotOf] of known) {
    for (const [cgroupId, slot] of slotOf) {
      const cgroup = cgroupOf.get(cgroupId);
      const booked = claims.has(slotKey({ generation, slot, cgroupId }));
      if (cgroup !== undefined && involved.has(cgroupId) && !booked) found.add(cgroup);
    }
  }
  // A claim without an entry was interrupted early, or its entry was missed.
  for (const { generation, cgroupId } of slots) {
    const cgroup = cgroupOf.get(cgroupId);
    if (cgroup !== undefined && !known.get(generation)?.has(cgroupId)) found.add(cgroup);
  }
  return [...found];
}
