/** One pass: look at the pods, the cgroup tree and the kernel, and make the kernel agree with the pods. */
import { isLimited } from '../../rate/limit.ts';
import { backOff } from '../base/back-off.ts';
import type { Cgroup, Cgroups, PodCgroups } from '../cgroup/tree.ts';
import { configOfPod, type ShapedPod } from '../pods/desired.ts';
import { ownerOf } from '../pods/owner.ts';
import type { Shaper } from '../shaper/shaper.ts';
import { type SlotState, type StepFailure, slotKey } from '../shaper/steps.ts';
import { createEmptyCgroups, type RunningPod } from './empty.ts';
import { type Plan, plan, sameConfig, type Target } from './plan.ts';

/** What a pass found about one pod. */
export type PodResult =
  | { readonly pod: ShapedPod; readonly state: 'in-force'; readonly slot: SlotState }
  | { readonly pod: ShapedPod; readonly state: 'invalid-stamp' | 'failed'; readonly reason: Error }
  /** `no-limit`: it asks only for a mark. `no-process`: its cgroup is limited and empty, although its containers run. */
  | { readonly pod: ShapedPod; readonly state: 'no-cgroup' | 'no-slot' | 'no-limit' | 'no-process' };

/** What a pass did and saw. */
export interface Report {
  readonly pods: readonly PodResult[];
  readonly failures: readonly StepFailure[];
  /** Why the release program is not attached. */
  readonly release?: Error | undefined;
  /** Steps that were done, by kind. */
  readonly steps: Readonly<Record<string, number>>;
  readonly slots: readonly SlotState[];
  /** What was newly limited, and by whom it is owned. */
  readonly attached: readonly { readonly owner: string; readonly cgroup: Cgroup }[];
  /** Directories in which new pods' cgroups appear. */
  readonly parents: readonly string[];
  /** Look again after this time, in ms, for something that takes time. */
  readonly againInMs?: number | undefined;
}

/** What a reconciler works with. */
export interface ReconcilerOptions {
  readonly shaper: Shaper;
  readonly cgroups: Cgroups;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
}

/** An attach shows its result in the next look. */
const maxRounds = 4;
/** A pod that runs without its cgroup being found is about to get one, or has just lost it: first and longest wait, in ms. */
const missingMs = { first: 250, longest: 10_000 };

/** Does passes. */
export type Reconciler = ReturnType<typeof createReconciler>;

/** Builds a reconciler. Losing its memory costs a repeated wait. */
export function createReconciler({ shaper, cgroups, now }: ReconcilerOptions) {
  const released = createStopwatches(now);
  const gone = createStopwatches(now);
  const empty = createEmptyCgroups();
  let missingPasses = 0;

  return {
    /**
     * Does a pass; one at a time is the caller's duty.
     * @param shaped what should be limited
     * @param full also searches for new pod trees, looks for processes in the pods' cgroups, and removes programs of
     * other versions
     * @throws if nothing can be observed at all
     */
    async pass(shaped: readonly ShapedPod[], full: boolean): Promise<Report> {
      shaper.install();
      const failures: StepFailure[] = [];
      const steps: Record<string, number> = {};
      const attached: Report['attached'][number][] = [];
      const release = shaper.installRelease();
      let tree = await cgroups.scan({ searchTrees: full });
      const pods = shaped.map((pod) => withOwnCgroup(pod, tree));
      let slots: readonly SlotState[] = [];
      let next: Plan = { steps: [], refused: [] };

      for (let round = 0; round < maxRounds; round += 1) {
        slots = shaper.observe();
        released.keep(slots.filter(({ config }) => config.release).map(slotKey));
        gone.keep(slots.filter(({ isAlive }) => !isAlive).map(slotKey));
        next = plan({
          targets: targetsOf(pods, tree, slots),
          keep: keptOwners(pods, tree),
          slots,
          releasedMs: (slot) => released.ms(slotKey(slot)),
          goneMs: (slot) => gone.ms(slotKey(slot)),
        });
        // What failed is left to the next pass: trying again at once would fail again.
        const failed = new Set(failures.map(({ step }) => step.owner));
        const todo = next.steps.filter(({ owner }) => !failed.has(owner));
        if (todo.length === 0) break;
        for (const { kind } of todo) steps[kind] = (steps[kind] ?? 0) + 1;
        attached.push(...todo.filter((step) => step.kind === 'attach').filter(({ claim }) => claim));
        failures.push(...shaper.apply(todo));
        tree = await cgroups.scan();
      }

      const held = new Map(slots.map((slot) => [`${slot.owner} ${slot.cgroupId}`, slot]));
      const results = pods.map((pod) => resultOf(pod, tree, held, next, failures));
      shaper.leaveOtherLayouts(cgroupsToLeave(results, tree));
      if (full) shaper.tidy();
      if (full) await empty.look(runningPods(results, tree));
      const missing = results.some(({ state, pod }) => state === 'no-cgroup' && pod.running);
      missingPasses = missing ? missingPasses + 1 : 0;
      const retryMs = missing ? backOff(missingMs, missingPasses - 1) : undefined;
      // Something changes as fast as it is put right: let others have their turn, and go on.
      const unfinished = next.steps.length > 0 && failures.length === 0 ? missingMs.first : undefined;
      const again = [next.againInMs, retryMs, unfinished].filter((ms) => ms !== undefined);
      const againInMs = again.length > 0 ? Math.min(...again) : undefined;
      const told = results.map(
        (result): PodResult =>
          result.state === 'in-force' && empty.has(result.pod.uid) ? { pod: result.pod, state: 'no-process' } : result,
      );
      return { pods: told, failures, steps, slots, attached, parents: tree.parents, release, againInMs };
    },
  };
}

/** Measures for how long keys have been there, by a clock in ms that never steps. */
function createStopwatches(now: () => number) {
  let since = new Map<string, number>();
  return {
    /** Starts those that are new, forgets those that are not named. */
    keep(keys: readonly string[]) {
      since = new Map(keys.map((key) => [key, since.get(key) ?? now()]));
    },
    ms: (key: string) => now() - (since.get(key) ?? now()),
  };
}

/** Returns the pods' cgroups that should be limited. What is only marked needs no shaper. */
function targetsOf(pods: readonly ShapedPod[], { byUid }: PodCgroups, slots: readonly SlotState[]): readonly Target[] {
  const current = new Map(slots.filter(({ isMapped }) => isMapped).map((slot) => [slot.cgroupId, slot]));
  const targets = new Map<bigint, Target>();
  for (const pod of pods) {
    const cgroup = byUid.get(pod.cgroupUid);
    if (cgroup === undefined || pod.limit instanceof Error || targets.has(cgroup.id) || !isLimited(pod.limit)) continue;
    const owner = ownerOf(pod);
    const slot = current.get(cgroup.id);
    const config = configOfPod(pod.limit, pod, slot?.owner === owner ? slot.config : undefined);
    targets.set(cgroup.id, { owner, cgroup, config });
  }
  return [...targets.values()];
}

/** Returns the owners of pods with a stamp that cannot be read: they keep the limit that they have. */
function keptOwners(pods: readonly ShapedPod[], { byUid }: PodCgroups): Set<string> {
  return new Set(pods.filter((pod) => pod.limit instanceof Error && byUid.has(pod.cgroupUid)).map(ownerOf));
}

/** The hash of a static pod is written on a pod that anybody may create: it counts only where the pod has no other cgroup. */
function withOwnCgroup(pod: ShapedPod, { byUid }: PodCgroups): ShapedPod {
  return byUid.has(pod.uid) ? { ...pod, cgroupUid: pod.uid } : pod;
}

/** The limited pods of which a container runs, with their cgroups. */
function runningPods(results: readonly PodResult[], { byUid }: PodCgroups): RunningPod[] {
  return results.flatMap(({ pod, state }) => {
    const cgroup = byUid.get(pod.cgroupUid);
    return state === 'in-force' && pod.hasProcess && cgroup !== undefined ? [{ uid: pod.uid, cgroup }] : [];
  });
}

/** The pods' cgroups on which nothing of another version is needed: the limit of this version is in force, or none is wanted. */
function cgroupsToLeave(results: readonly PodResult[], { byUid }: PodCgroups): Set<bigint> {
  const needed = results.filter(({ state }) => state !== 'in-force' && state !== 'no-limit');
  const uids = new Set(needed.map(({ pod }) => pod.cgroupUid));
  return new Set([...byUid].flatMap(([uid, { id }]) => (uids.has(uid) ? [] : [id])));
}

function resultOf(
  pod: ShapedPod,
  tree: PodCgroups,
  held: ReadonlyMap<string, SlotState>,
  { refused, steps }: Plan,
  failures: readonly StepFailure[],
): PodResult {
  const owner = ownerOf(pod);
  if (pod.limit instanceof Error) return { pod, state: 'invalid-stamp', reason: pod.limit };
  if (!isLimited(pod.limit)) return { pod, state: 'no-limit' };
  const cgroup = tree.byUid.get(pod.cgroupUid);
  if (cgroup === undefined) return { pod, state: 'no-cgroup' };
  if (refused.includes(owner)) return { pod, state: 'no-slot' };
  const slot = held.get(`${owner} ${cgroup.id}`);
  const isPending = steps.some((step) => (step.kind === 'attach' || step.kind === 'update') && step.owner === owner);
  if (slot?.isMapped && !isPending && sameConfig(slot.config, configOfPod(pod.limit, pod, slot.config))) {
    return { pod, state: 'in-force', slot };
  }
  const failure = failures.find(({ step }) => step.owner === owner);
  return { pod, state: 'failed', reason: failure?.error ?? new Error('the limit did not come into force yet') };
}
