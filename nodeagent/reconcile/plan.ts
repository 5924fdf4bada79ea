/** Compares what should be with what is. */

import type { Cgroup } from '../cgroup/tree.ts';
import { isManual } from '../pods/owner.ts';
import { hooks } from '../shaper/hooks.ts';
import { type SlotConfig, slotCount } from '../shaper/layout.ts';
import type { SlotState, Step } from '../shaper/steps.ts';

/** A cgroup that should be limited. */
export interface Target {
  /** `pod/<uid>` or `manual/<cgroup id>`. */
  readonly owner: string;
  readonly cgroup: Cgroup;
  readonly config: SlotConfig;
}

/** What a plan is made of. */
export interface PlanInput {
  readonly targets: readonly Target[];
  /** Owners whose slots are to stay as they are, because what they should have cannot be told. */
  readonly keep: ReadonlySet<string>;
  readonly slots: readonly SlotState[];
  /** How long ago a slot's sockets were told to run free, in ms; 0 if they were not. */
  readonly releasedMs: (slot: SlotState) => number;
  /** How long ago a slot was first seen without an entry of its cgroup in the kernel, in ms. */
  readonly goneMs: (slot: SlotState) => number;
}

/** What to do now, and when to look again for what takes time. */
export interface Plan {
  readonly steps: readonly Step[];
  /** Wait this long and plan again, in ms; undefined if nothing is waiting. */
  readonly againInMs?: number;
  /** Owners of targets that found no free slot. */
  readonly refused: readonly string[];
}

/** How long sockets get to lift their pacing before the programs leave, in ms; a callback comes with every round trip. */
export const releaseMs = 500;

/** How long another process gets from its claim of a slot to its first attach, in ms. */
export const claimMs = 1000;

/** Plans the steps from the observed to the desired state. Applying them and planning again ends with no steps. */
export function plan({ targets, keep, slots, releasedMs, goneMs }: PlanInput): Plan {
  const steps: Step[] = [];
  const refused: string[] = [];
  const settled = new Set<SlotState>();
  const free = freeSlots(slots);
  const held = Map.groupBy(slots, ({ owner, cgroupId }) => `${owner} ${cgroupId}`);

  for (const target of targets) {
    const { owner, cgroup, config } = target;
    const own = held.get(`${owner} ${cgroup.id}`) ?? [];
    const current = own.find(({ isMapped }) => isMapped) ?? own[0];
    if (current !== undefined) settled.add(current);
    const slot = current?.slot ?? free.next().value;
    if (slot === undefined) {
      refused.push(owner);
    } else if (current === undefined || !current.isMapped || current.attached.size < hooks.length) {
      // A slot is cleared before the first program is attached: where one is, the state is the cgroup's own.
      const fresh = current === undefined || current.attached.size === 0;
      steps.push({ kind: 'attach', slot, owner, cgroup, config, claim: current === undefined, fresh });
    } else {
      if (isOutdated(current)) steps.push({ kind: 'upgrade', owner, cgroupId: cgroup.id });
      if (!sameConfig(current.config, config)) steps.push({ kind: 'update', slot, owner, config });
    }
  }

  const waits: number[] = [];
  const desired = new Set(targets.map(({ owner, cgroup }) => `${owner} ${cgroup.id}`));
  for (const slot of slots) {
    const { owner, cgroupId } = slot;
    if (settled.has(slot)) continue;
    if (isSuperseded(slot, slots)) steps.push(detachStep(slot, slots));
    else if (!slot.isAlive) {
      const leftMs = claimMs - goneMs(slot);
      if (leftMs > 0) waits.push(leftMs);
      else steps.push(detachStep(slot, slots));
    } else if (isManual(slot) || keep.has(owner) || desired.has(`${owner} ${cgroupId}`)) {
      if (isOutdated(slot)) steps.push({ kind: 'upgrade', owner, cgroupId });
    } else if (!slot.config.release) {
      steps.push({ kind: 'update', slot: slot.slot, owner, config: { ...slot.config, release: true } });
      waits.push(releaseMs);
    } else {
      const leftMs = releaseMs - releasedMs(slot);
      if (leftMs > 0) waits.push(leftMs);
      else steps.push(detachStep(slot, slots));
    }
  }
  return { steps, refused, ...(waits.length > 0 && { againInMs: Math.min(...waits) }) };
}

/** Tells whether two configs limit the same. */
export function sameConfig(one: SlotConfig, other: SlotConfig): boolean {
  return (
    one.release === other.release &&
    one.queued === other.queued &&
    one.egress.rate === other.egress.rate &&
    one.egress.burstNs === other.egress.burstNs &&
    one.ingress.rate === other.ingress.rate &&
    one.ingress.burstNs === other.ingress.burstNs
  );
}

/** Returns the step that gives a slot back. The programs stay where another slot of the same cgroup is in force. */
export function detachStep(slot: SlotState, slots: readonly SlotState[]): Step {
  const { slot: number, owner, cgroupId } = slot;
  return { kind: 'detach', slot: number, owner, cgroupId, keepLinks: isSuperseded(slot, slots) };
}

function isOutdated({ attached }: SlotState): boolean {
  return [...attached.values()].includes('outdated');
}

function* freeSlots(slots: readonly SlotState[]): Generator<number, undefined> {
  const used = new Set(slots.map(({ slot }) => slot));
  for (let slot = 1; slot < slotCount; slot += 1) if (!used.has(slot)) yield slot;
  return undefined;
}

/** Whether the traffic of the slot's cgroup counts on another slot. */
function isSuperseded(slot: SlotState, slots: readonly SlotState[]): boolean {
  return slots.some((other) => other !== slot && other.cgroupId === slot.cgroupId && other.isMapped);
}
