/** One pass: look at the pods, the cgroup tree and the kernel, and make the kernel agree with the pods. */
import { isLimited } from '../rate/limit.ts';
import { backOff } from './back-off.ts';
import type { BpftoolError } from './bpftool.ts';
import type { Cgroups, PodCgroups } from './cgroups.ts';
import type { ShapedPod } from './desired.ts';
import { liveChanges } from './live-changes.ts';
import { ownerOf } from './owner.ts';
import { type Plan, plan, sameConfig } from './plan.ts';
import type { Shaper } from './shaper.ts';
import { configOfPod } from './slot-config.ts';
import { type Cgroup, type Observation, type SlotState, type Step, type StepFailure, slotKey } from './state.ts';
import { createStopwatches } from './stopwatches.ts';
import { doubtful, existingCgroups, keptOwners, targetsOf } from './targets.ts';
import { createTurns } from './turns.ts';

/** What a pass found about one pod. */
export type PodResult =
  | { readonly pod: ShapedPod; readonly state: 'in-force'; readonly slot: SlotState }
  | { readonly pod: ShapedPod; readonly state: 'invalid-stamp' | 'failed'; readonly reason: Error }
  /** `no-limit`: it asks only for a mark. */
  | { readonly pod: ShapedPod; readonly state: 'no-cgroup' | 'no-slot' | 'no-limit' };

/** What a pass did and saw. */
export interface Report {
  readonly pods: readonly PodResult[];
  readonly failures: readonly StepFailure[];
  /** Why the release program is not attached. */
  readonly release?: BpftoolError;
  /** Steps that were done, by kind. */
  readonly steps: Readonly<Record<string, number>>;
  readonly slots: readonly SlotState[];
  /** What was newly limited, and by whom it is owned. */
  readonly attached: readonly { readonly owner: string; readonly cgroup: Cgroup }[];
  /** Directories in which new pods' cgroups appear. */
  readonly parents: readonly string[];
  /** Look again after this time, in ms, for something that takes time. */
  readonly againInMs?: number;
}

/** Does passes; one at a time is the caller's duty. */
export interface Reconciler {
  /**
   * @param pods what should be limited
   * @param full also searches for new pod trees and, after all is done that was to be done, verifies the release program and some
   * pods, program by program
   * @param superseded tells whether another pass is wanted already: then nothing is verified, because verifying takes long
   * @throws if nothing can be observed at all
   */
  pass(pods: readonly ShapedPod[], full: boolean, superseded?: () => boolean): Promise<Report>;
}

/** What a reconciler works with. */
export interface ReconcilerOptions {
  readonly shaper: Shaper;
  readonly cgroups: Cgroups;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
}

/** An attach shows its result in the next look; upgrades take one look more to let go of the old programs. */
const maxRounds = 6;
/** A pod that runs without its cgroup being found is about to get one, or has just lost it: first and longest wait, in ms. */
const missingMs = { first: 250, longest: 10_000 };

/**
 * A thorough pass verifies this many pods, program by program: looking costs 10 ms a pod, and only a stranger's hand can have
 * taken off what is marked as attached.
 */
const verifiedAtOnce = 2;

/** Builds a reconciler. Losing its memory costs a repeated wait, or a look before a changed label comes into force. */
export function createReconciler({ shaper, cgroups, now }: ReconcilerOptions): Reconciler {
  const released = createStopwatches(now);
  const vanished = createStopwatches(now);
  const turns = createTurns(verifiedAtOnce);
  let left: readonly SlotState[] = [];
  let missingPasses = 0;

  return {
    async pass(pods, full, superseded = () => false) {
      const kept = await shaper.install();
      const early = liveChanges(pods, kept ? left : []);
      // What a pass that fails leaves behind is not known.
      left = [];
      let release: BpftoolError | undefined;
      let unverified = full;
      let verify: readonly Cgroup[] = [];
      const failures: StepFailure[] = [];
      const steps: Record<string, number> = {};
      const attached: Report['attached'][number][] = [];
      const apply = async (todo: readonly Step[]) => {
        for (const step of todo) steps[step.kind] = (steps[step.kind] ?? 0) + 1;
        attached.push(...todo.filter((step) => step.kind === 'attach').filter(({ claim }) => claim));
        failures.push(...(await shaper.apply(todo)));
      };
      if (early.length > 0) await apply(early);
      let tree = await cgroups.scan({ searchTrees: full });
      let seen: { observation: Observation; plan: Plan } | undefined;

      for (let round = 0; round < maxRounds; round += 1) {
        const failed = new Set(failures.map(({ step }) => ('owner' in step ? step.owner : '')));
        // Orphans are looked for again, so that they leave in the round after their cgroup was limited otherwise.
        const orphaned = seen?.observation.orphans.map(({ cgroup }) => cgroup) ?? [];
        const [scanned, look] = [tree, [...verify, ...orphaned]];
        const observation = await shaper.observe((slots, known) => [
          ...new Set([...look, ...doubtful(scanned, pods, slots, known)]),
        ]);
        verify = [];
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
        if (todo.length === 0) {
          if (!unverified || superseded()) break;
          unverified = false;
          release = await shaper.installRelease();
          if (superseded()) break;
          verify = turns.next(pods.map((pod) => scanned.byUid.get(pod.cgroupUid)));
          if (verify.length === 0) break;
          continue;
        }
        await apply(todo);
        tree = await cgroups.scan();
      }

      const { observation, plan: last } = seen as { observation: Observation; plan: Plan };
      // Slots of an old generation are about to be moved, and where steps are open, others may have been done.
      if (last.steps.length === 0)
        left = observation.slots.filter(({ generation }) => generation === observation.generation);
      const results = pods.map((pod) => resultOf(pod, tree, observation, last, failures));
      const missing = results.some(({ state, pod }) => state === 'no-cgroup' && pod.running);
      missingPasses = missing ? missingPasses + 1 : 0;
      const retryMs = missing ? backOff(missingMs, missingPasses - 1) : undefined;
      // Something changes as fast as it is put right: let others have their turn, and go on.
      const unfinished = last.steps.length > 0 && failures.length === 0 ? missingMs.first : undefined;
      const again = [last.againInMs, retryMs, unfinished].filter((ms) => ms !== undefined);
      return {
        pods: results,
        failures,
        steps,
        slots: observation.slots,
        attached,
        parents: tree.parents,
        ...(release !== undefined && { release }),
        ...(again.length > 0 && { againInMs: Math.min(...again) }),
      };
    },
  };
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
  if (!isLimited(pod.limit)) return { pod, state: 'no-limit' };
  const cgroup = tree.byUid.get(pod.cgroupUid);
  if (cgroup === undefined) return { pod, state: 'no-cgroup' };
  if (refused.includes(owner)) return { pod, state: 'no-slot' };
  const slot = slots.find(
    (candidate) => candidate.owner === owner && candidate.cgroupId === cgroup.id && candidate.generation === generation,
  );
  const pending = steps.some((step) => (step.kind === 'attach' || step.kind === 'update') && step.owner === owner);
  if (slot?.marked && !pending && sameConfig(slot.config, configOfPod(pod.limit, pod, slot.config))) {
    return { pod, state: 'in-force', slot };
  }
  const failure = failures.find(({ step }) => 'owner' in step && step.owner === owner);
  return { pod, state: 'failed', reason: failure?.error ?? new Error('the limit did not come into force yet') };
}
