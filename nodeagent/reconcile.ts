/** One pass: look at the pods, the cgroup tree and the kernel, and make the kernel agree with the pods. */
import type { Limit } from '../rate/limit.ts';
import type { BpftoolError } from './bpftool.ts';
import type { Cgroups, PodCgroups } from './cgroups.ts';
import type { ShapedPod } from './desired.ts';
import { type Plan, plan, sameConfig, type Target } from './plan.ts';
import type { Shaper } from './shaper.ts';
import { configOfLimit } from './slot-config.ts';
import type { Cgroup, Observation, SlotState, StepFailure } from './state.ts';

/** What a pass found about one pod. */
export type PodResult =
  | { readonly pod: ShapedPod; readonly state: 'in-force'; readonly slot: SlotState }
  | { readonly pod: ShapedPod; readonly state: 'invalid-stamp' | 'failed'; readonly reason: Error }
  | { readonly pod: ShapedPod; readonly state: 'no-cgroup' | 'no-slot' };

/** What a pass did and saw. */
export interface Report {
  readonly pods: readonly PodResult[];
  readonly failures: readonly StepFailure[];
  /** Why the sender's half of cooperative ingress is missing. */
  readonly sender?: BpftoolError;
  /** Steps that were done, by kind. */
  readonly steps: Readonly<Record<string, number>>;
  readonly slots: readonly SlotState[];
  /** Directories in which new pods' cgroups appear. */
  readonly parents: readonly string[];
  /** Look again after this time, in ms, for something that takes time. */
  readonly againInMs?: number;
}

/** Does passes; one at a time is the caller's duty. */
export interface Reconciler {
  /**
   * @param pods what should be limited
   * @param full also verifies, program by program, what is attached, and searches for new pod trees
   * @throws if nothing can be observed at all
   */
  pass(pods: readonly ShapedPod[], full: boolean): Promise<Report>;
}

/** What a reconciler works with. */
export interface ReconcilerOptions {
  readonly shaper: Shaper;
  readonly cgroups: Cgroups;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
}

/** An attach shows its result in the next look; upgrades take one look more to let go of the old programs. */
const maxRounds = 4;
/** A pod that runs without its cgroup being found is about to get one, or has just lost it: first and longest wait, in ms. */
const missingMs = { first: 250, longest: 10_000 };

/** Builds a reconciler. Its memory is of waits only: losing it costs a repeated one. */
export function createReconciler({ shaper, cgroups, now }: ReconcilerOptions): Reconciler {
  const released = createStopwatches(now);
  const vanished = createStopwatches(now);
  let missingPasses = 0;

  return {
    async pass(pods, full) {
      await shaper.install();
      const sender = full ? await shaper.installSender() : undefined;
      const failures: StepFailure[] = [];
      const steps: Record<string, number> = {};
      let tree = await cgroups.scan({ searchTrees: full });
      let seen: { observation: Observation; plan: Plan } | undefined;

      for (let round = 0; round < maxRounds; round += 1) {
        const failed = new Set(failures.map(({ step }) => ('owner' in step ? step.owner : '')));
        const observation = await observe(shaper, tree, pods, full || failures.length > 0);
        const existing = await existingCgroups(cgroups, tree, observation);
        released.keep(observation.slots.filter((slot) => slot.config.release).map(slotKey));
        vanished.keep(observation.slots.filter((slot) => !existing.has(slot.cgroupId)).map(slotKey));
        const next = plan({
          targets: targetsOf(pods, tree, observation, existing),
          keep: keptOwners(pods, tree),
          cgroups: existing,
          observation,
          releasedMs: (slot) => released.ms(slotKey(slot)),
          vanishedMs: (slot) => vanished.ms(slotKey(slot)) ?? 0,
        });
        seen = { observation, plan: next };
        // What failed is left to the next pass: trying again at once would fail again.
        const todo = next.steps.filter((step) => !('owner' in step && failed.has(step.owner)));
        if (todo.length === 0) break;
        for (const step of todo) steps[step.kind] = (steps[step.kind] ?? 0) + 1;
        const newFailures = await shaper.apply(todo);
        failures.push(...newFailures);
        tree = await cgroups.scan();
      }

      const { observation, plan: last } = seen as { observation: Observation; plan: Plan };
      const results = pods.map((pod) => resultOf(pod, tree, observation, last, failures));
      const missing = results.some(({ state, pod }) => state === 'no-cgroup' && pod.running);
      missingPasses = missing ? missingPasses + 1 : 0;
      const retryMs = missing
        ? Math.min(missingMs.first * 2 ** Math.min(missingPasses - 1, 20), missingMs.longest)
        : undefined;
      const again = [last.againInMs, retryMs].filter((ms) => ms !== undefined);
      return {
        pods: results,
        failures,
        steps,
        slots: observation.slots,
        parents: tree.parents,
        ...(sender !== undefined && { sender }),
        ...(again.length > 0 && { againInMs: Math.min(...again) }),
      };
    },
  };
}

function slotKey(slot: SlotState): string {
  return `${slot.generation}/${slot.slot}/${slot.cgroupId}`;
}

/** Measures for how long keys have been there. */
function createStopwatches(now: () => number) {
  const since = new Map<string, number>();
  return {
    /** Starts those that are new, forgets those that are not named. */
    keep(keys: readonly string[]) {
      const named = new Set(keys);
      for (const key of since.keys()) if (!named.has(key)) since.delete(key);
      for (const key of named) if (!since.has(key)) since.set(key, now());
    },
    ms(key: string): number | undefined {
      const start = since.get(key);
      return start === undefined ? undefined : now() - start;
    },
  };
}

/** The name under which a pod's cgroup holds its slot. */
export function ownerOf(pod: Pick<ShapedPod, 'cgroupUid'>): string {
  return `pod/${pod.cgroupUid}`;
}

function targetsOf(
  pods: readonly ShapedPod[],
  tree: PodCgroups,
  { generation, slots }: Observation,
  existing: ReadonlyMap<bigint, Cgroup>,
): Target[] {
  const targets = new Map<bigint, Target>();
  for (const pod of pods) {
    const cgroup = tree.byUid.get(pod.cgroupUid);
    if (cgroup === undefined || pod.limit instanceof Error || targets.has(cgroup.id)) continue;
    targets.set(cgroup.id, { owner: ownerOf(pod), cgroup, config: configOfLimit(pod.limit) });
  }
  // What was limited by hand is the command line tool's, but an old generation must be left all the same.
  for (const old of slots) {
    const cgroup = existing.get(old.cgroupId);
    if (old.generation === generation || !old.owner.startsWith('manual/') || cgroup === undefined) continue;
    if (targets.has(cgroup.id) || old.config.release || !old.marked) continue;
    const moved = slots.find((slot) => slot.generation === generation && slot.owner === old.owner && slot.marked);
    targets.set(cgroup.id, { owner: old.owner, cgroup, config: moved?.config ?? old.config });
  }
  return [...targets.values()];
}

// A pod with a stamp that cannot be read keeps the limit it has; one whose cgroup is not found needs nothing.
function keptOwners(pods: readonly ShapedPod[], tree: PodCgroups): Set<string> {
  return new Set(pods.filter((pod) => pod.limit instanceof Error && tree.byUid.has(pod.cgroupUid)).map(ownerOf));
}

function observe(shaper: Shaper, tree: PodCgroups, pods: readonly ShapedPod[], full: boolean): Promise<Observation> {
  const cgroupOf = new Map([...tree.byUid.values()].map((cgroup) => [cgroup.id, cgroup]));
  return shaper.observe((slots, known) => {
    const look = new Set<Cgroup>();
    const claims = new Set(slots.map(slotKey));
    const involved = new Set(slots.map((slot) => slot.cgroupId));
    for (const pod of pods) {
      const cgroup = tree.byUid.get(pod.cgroupUid);
      if (cgroup === undefined) continue;
      involved.add(cgroup.id);
      if (full) look.add(cgroup);
    }
    // Where the books are in order, the mark tells what is attached. Where a step was interrupted, only the cgroup itself does.
    for (const [generation, slotOf] of known) {
      for (const [cgroupId, slot] of slotOf) {
        const cgroup = cgroupOf.get(cgroupId);
        if (cgroup !== undefined && involved.has(cgroupId) && !claims.has(`${generation}/${slot}/${cgroupId}`))
          look.add(cgroup);
      }
    }
    return [...look];
  });
}

/** All cgroups that slots are for and that exist: the pods' from the scan, others by a walk, which is only made if need be. */
async function existingCgroups(
  cgroups: Cgroups,
  tree: PodCgroups,
  { slots, known, generation }: Observation,
): Promise<Map<bigint, Cgroup>> {
  const existing = new Map([...tree.byUid.values()].map((cgroup) => [cgroup.id, cgroup]));
  const unknown = new Set<bigint>();
  for (const slot of slots) {
    if (existing.has(slot.cgroupId)) continue;
    const alive = known.get(slot.generation)?.has(slot.cgroupId) ?? false;
    // The kernel forgets a cgroup's entry when the cgroup ends, so an entry may be alive and a claim without one may be new.
    const manual = slot.owner.startsWith('manual/');
    if (alive && manual && slot.generation === generation) existing.set(slot.cgroupId, { id: slot.cgroupId, path: '' });
    else if (alive || manual) unknown.add(slot.cgroupId);
  }
  for (const [id, cgroup] of await cgroups.find(unknown)) existing.set(id, cgroup);
  return existing;
}

function resultOf(
  pod: ShapedPod,
  tree: PodCgroups,
  { slots, generation }: Observation,
  { refused, steps }: Plan,
  failures: readonly StepFailure[],
): PodResult {
  const owner = ownerOf(pod);
  if (pod.limit instanceof Error) return { pod, state: 'invalid-stamp', reason: pod.limit };
  const cgroup = tree.byUid.get(pod.cgroupUid);
  if (cgroup === undefined) return { pod, state: 'no-cgroup' };
  if (refused.includes(owner)) return { pod, state: 'no-slot' };
  const slot = slots.find(
    (candidate) => candidate.owner === owner && candidate.cgroupId === cgroup.id && candidate.generation === generation,
  );
  const pending = steps.some((step) => (step.kind === 'attach' || step.kind === 'update') && step.owner === owner);
  if (slot?.marked && !pending && sameConfig(slot.config, configOfLimit(pod.limit as Limit))) {
    return { pod, state: 'in-force', slot };
  }
  const failure = failures.find(({ step }) => 'owner' in step && step.owner === owner);
  return { pod, state: 'failed', reason: failure?.error ?? new Error('the limit did not come into force yet') };
}
