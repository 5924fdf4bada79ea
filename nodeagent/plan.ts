/** Compares what should be with what is. */
import { type Hook, hooks } from './hooks.ts';
import { type SlotConfig, slotCount } from './layout.ts';
import { isManual } from './owner.ts';
import { attachedHooks, type Cgroup, type Observation, type SlotState, type Step } from './state.ts';

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
  /** Every cgroup that is known to exist, by id; must have the cgroup of every slot that is alive. */
  readonly cgroups: ReadonlyMap<bigint, Cgroup>;
  readonly observation: Observation;
  /** How long ago a slot's sockets were told to run free, in ms; undefined if they were not. */
  readonly releasedMs: (slot: SlotState) => number | undefined;
  /** How long ago a slot's cgroup was first seen to be gone, in ms. */
  readonly vanishedMs: (slot: SlotState) => number;
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

/**
 * How long the kernel gets to forget a removed cgroup, in ms. It does so within some milliseconds, unless sockets keep it; then
 * its entry must be cleared before another cgroup gets the slot.
 */
export const forgetMs = 1000;

const allHooks: ReadonlySet<Hook> = new Set(hooks);

/** Plans the steps from the observed to the wanted state. Applying them and planning again ends with no steps. */
export function plan(input: PlanInput): Plan {
  const { targets, keep, cgroups, observation } = input;
  const { generation, slots } = observation;
  const steps: Step[] = [];
  const refused: string[] = [];
  const settled = new Set<SlotState>();
  const inForce = new Set<string>();
  const free = freeSlots(observation);

  for (const target of targets) {
    const own = slots.filter((slot) => isOf(slot, target) && slot.generation === generation);
    const current = own.find((slot) => slot.marked) ?? own[0];
    if (current !== undefined) settled.add(current);
    const slot = current?.slot ?? free.next().value;
    if (slot === undefined) {
      refused.push(target.owner);
      continue;
    }
    const there = attachedHooks(observation, generation, target.cgroup.id, allHooks);
    const missing = hooks.filter((hook) => !there.has(hook));
    if (current === undefined || !current.marked || missing.length > 0) {
      const { owner, cgroup, config } = target;
      // A slot is cleared before the first program is attached: where one is, the state is the cgroup's own.
      const fresh = current === undefined || there.size === 0;
      steps.push({
        kind: 'attach',
        generation,
        slot,
        owner,
        cgroup,
        config,
        claim: current === undefined,
        fresh,
        hooks: missing,
      });
    } else if (!sameConfig(current.config, target.config)) {
      steps.push({ kind: 'update', generation, slot, owner: target.owner, config: target.config });
      inForce.add(key(target));
    } else {
      inForce.add(key(target));
    }
  }

  const waits: number[] = [];
  const left = new Set<string>();
  const detach = (slot: SlotState, cgroup: Cgroup) => {
    // The programs leave a cgroup once, however many slots it holds.
    const place = `${slot.generation}/${cgroup.id}`;
    const stay = superseded(slot, observation) || left.has(place);
    left.add(place);
    steps.push(detachStep(slot, cgroup, observation, stay));
  };
  const wanted = new Set(targets.map(key));
  for (const slot of slots) {
    if (settled.has(slot) || keep.has(slot.owner)) continue;
    const cgroup = cgroups.get(slot.cgroupId);
    // What the programs of one generation hold must not be let go before those of the next have it.
    const replaced = inForce.has(key({ owner: slot.owner, cgroup: { id: slot.cgroupId } }));
    if (cgroup === undefined) {
      const waitMs = knownSlot(slot, observation) === slot.slot ? forgetMs - input.vanishedMs(slot) : 0;
      if (waitMs > 0) waits.push(Math.min(waitMs, forgetMs / 4));
      else steps.push(freeStep(slot, observation));
    } else if (replaced || superseded(slot, observation)) detach(slot, cgroup);
    else if (wanted.has(key({ owner: slot.owner, cgroup }))) continue;
    else if (isManual(slot)) continue;
    else {
      const released = slot.config.release ? input.releasedMs(slot) : undefined;
      if (released !== undefined && released >= releaseMs) detach(slot, cgroup);
      else if (slot.config.release) waits.push(releaseMs - (released ?? 0));
      else {
        const { generation, slot: number, owner } = slot;
        steps.push({ kind: 'update', generation, slot: number, owner, config: { ...slot.config, release: true } });
        waits.push(releaseMs);
      }
    }
  }

  const busy = new Set(slots.map((slot) => slot.generation));
  for (const old of observation.oldGenerations) {
    if (!busy.has(old)) steps.push({ kind: 'remove-generation', generation: old });
  }
  for (const orphan of observation.orphans) {
    if (targets.some((target) => target.cgroup.id === orphan.cgroup.id && inForce.has(key(target)))) {
      steps.push({ kind: 'detach-orphan', orphan });
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

function* freeSlots({ generation, slots, known }: Observation): Generator<number, undefined> {
  const used = new Set(slots.filter((slot) => slot.generation === generation).map((slot) => slot.slot));
  for (const slot of known.get(generation)?.values() ?? []) used.add(slot);
  for (let slot = 1; slot < slotCount; slot += 1) if (!used.has(slot)) yield slot;
  return undefined;
}

function isOf(slot: SlotState, target: Target): boolean {
  return slot.owner === target.owner && slot.cgroupId === target.cgroup.id;
}

function key({ owner, cgroup }: { owner: string; cgroup: { id: bigint } }): string {
  return `${owner} ${cgroup.id}`;
}

function knownSlot(slot: SlotState, { known }: Observation): number | undefined {
  return known.get(slot.generation)?.get(slot.cgroupId);
}

/** Whether another slot of the same generation has taken the cgroup over. */
function superseded(slot: SlotState, { slots }: Observation): boolean {
  return slots.some(
    (other) =>
      other !== slot && other.generation === slot.generation && other.cgroupId === slot.cgroupId && other.marked,
  );
}

function freeStep(slot: SlotState, observation: Observation): Step {
  const { generation, slot: number, owner, cgroupId } = slot;
  const known = knownSlot(slot, observation) === number;
  return { kind: 'free', generation, slot: number, owner, cgroupId, known };
}

/** @param stay whether the programs stay on the cgroup, because another slot needs them */
function detachStep(slot: SlotState, cgroup: Cgroup, observation: Observation, stay: boolean): Step {
  const { generation, slot: number, owner } = slot;
  const known = knownSlot(slot, observation) === number;
  const there = stay ? new Set<Hook>() : attachedHooks(observation, generation, slot.cgroupId, allHooks);
  const attached = hooks.filter((hook) => there.has(hook));
  return { kind: 'detach', generation, slot: number, owner, cgroup, hooks: attached, known };
}
