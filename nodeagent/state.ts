/** What is in the kernel, as user space sees it: the vocabulary of observing, planning and applying. */
import type { Hook } from './hooks.ts';
import type { SlotConfig } from './layout.ts';

/** A cgroup that exists. */
export interface Cgroup {
  /** Inode number of the directory, which is the kernel's cgroup id. */
  readonly id: bigint;
  /** Absolute path of the directory. */
  readonly path: string;
}

/** A slot that is held. */
export interface SlotState {
  /** Generation of the shaper object whose maps hold the slot. */
  readonly generation: string;
  readonly slot: number;
  readonly cgroupId: bigint;
  /** `pod/<uid>` or `manual/<cgroup id>`. */
  readonly owner: string;
  readonly config: SlotConfig;
  /** Whether the cgroup's traffic counts on this slot: the mark is written last on attaching, and taken off first. */
  readonly marked: boolean;
}

/** What tells a slot's holding from any other. */
export function slotKey(slot: Pick<SlotState, 'generation' | 'slot' | 'cgroupId'>): string {
  return `${slot.generation}/${slot.slot}/${slot.cgroupId}`;
}

/** A program of ours on a cgroup that belongs to no pinned generation: its pins were lost, so nothing can steer it any more. */
export interface Orphan {
  readonly cgroup: Cgroup;
  /** Attach type, as bpftool takes it. */
  readonly attachType: string;
  readonly programId: number;
  readonly program: string;
}

/** One look at the kernel. */
export interface Observation {
  /** The generation that new attachments get. */
  readonly generation: string;
  /** Other generations that are still pinned, with or without slots. */
  readonly oldGenerations: readonly string[];
  /** The slots of all generations. */
  readonly slots: readonly SlotState[];
  /** For each generation the cgroups that its `slots` map knows: those it is or was attached to, while they live. */
  readonly known: ReadonlyMap<string, ReadonlyMap<bigint, number>>;
  /** For cgroups that were looked at one by one: the hooks where each generation's programs are attached. */
  readonly attached: ReadonlyMap<bigint, ReadonlyMap<string, ReadonlySet<Hook>>>;
  /** Orphans on the cgroups that were looked at. */
  readonly orphans: readonly Orphan[];
}

/** Tells on which hooks of a cgroup a generation's programs are attached, as far as the observation says. */
export function attachedHooks(
  observation: Observation,
  generation: string,
  cgroupId: bigint,
  all: ReadonlySet<Hook>,
): ReadonlySet<Hook> {
  const seen = observation.attached.get(cgroupId);
  if (seen !== undefined) return seen.get(generation) ?? new Set();
  // Not looked at: the mark, written after all hooks were attached, is the evidence.
  return (observation.known.get(generation)?.get(cgroupId) ?? 0) === 0 ? new Set() : all;
}

/** One change of the kernel's state. */
export type Step =
  | AttachStep
  | {
      readonly kind: 'update';
      readonly generation: string;
      readonly slot: number;
      readonly owner: string;
      readonly config: SlotConfig;
    }
  | {
      /** Takes the programs off a cgroup and gives the slot back. */
      readonly kind: 'detach';
      readonly generation: string;
      readonly slot: number;
      readonly owner: string;
      readonly cgroup: Cgroup;
      readonly hooks: readonly Hook[];
      /** Whether the `slots` map has an entry for the cgroup. */
      readonly known: boolean;
    }
  | {
      /** Gives the slot of a vanished cgroup back. */
      readonly kind: 'free';
      readonly generation: string;
      readonly slot: number;
      readonly owner: string;
      readonly cgroupId: bigint;
      /** Whether the `slots` map still has an entry: sockets keep a removed cgroup alive for a while. */
      readonly known: boolean;
    }
  | { readonly kind: 'detach-orphan'; readonly orphan: Orphan }
  | { readonly kind: 'remove-generation'; readonly generation: string };

/** Puts the programs on a cgroup. */
export interface AttachStep {
  readonly kind: 'attach';
  readonly generation: string;
  readonly slot: number;
  readonly owner: string;
  readonly cgroup: Cgroup;
  readonly config: SlotConfig;
  /** Whether the slot must be claimed first; otherwise it is held already. */
  readonly claim: boolean;
  /** Whether state and counters start from zero; not so where only a hook went missing. */
  readonly fresh: boolean;
  /** The hooks that lack the program. */
  readonly hooks: readonly Hook[];
}

/** A step that failed. */
export interface StepFailure {
  readonly step: Step;
  readonly error: Error;
}
