/** What is in the kernel, as user space sees it: the vocabulary of observing, planning and applying. */
import type { Cgroup } from '../cgroup/tree.ts';
import type { Hook } from './hooks.ts';
import type { SlotConfig } from './layout.ts';

/** A program on a hook: of the object that is installed, or of another version of it. */
export type Attached = 'current' | 'outdated';

/** A slot that is held. */
export interface SlotState {
  readonly slot: number;
  readonly cgroupId: bigint;
  /** `pod/<uid>` or `manual/<cgroup id>`. */
  readonly owner: string;
  readonly config: SlotConfig;
  /** Whether the kernel has an entry for the cgroup in the map `slots`: from the first attach until the cgroup's end. */
  readonly isAlive: boolean;
  /** Whether the cgroup's traffic counts on this slot: that is written last on attaching, and undone first. */
  readonly isMapped: boolean;
  /** What is attached to the cgroup by our links. */
  readonly attached: ReadonlyMap<Hook, Attached>;
}

/** Identifies one holding of a slot. */
export function slotKey(slot: Pick<SlotState, 'slot' | 'cgroupId'>): string {
  return `${slot.slot}/${slot.cgroupId}`;
}

/** One change of the kernel's state. */
export type Step =
  | AttachStep
  | {
      readonly kind: 'update';
      readonly slot: number;
      readonly owner: string;
      readonly config: SlotConfig;
    }
  | {
      /** Makes the links of a cgroup run the programs that are installed. */
      readonly kind: 'upgrade';
      readonly owner: string;
      readonly cgroupId: bigint;
    }
  | {
      /** Takes the programs off a cgroup, unless another slot needs them, and gives the slot back. */
      readonly kind: 'detach';
      readonly slot: number;
      readonly owner: string;
      readonly cgroupId: bigint;
      /** Whether the programs stay on the cgroup. */
      readonly keepLinks: boolean;
    };

/** Puts the programs on a cgroup. */
export interface AttachStep {
  readonly kind: 'attach';
  readonly slot: number;
  readonly owner: string;
  readonly cgroup: Cgroup;
  readonly config: SlotConfig;
  /** Whether the slot must be claimed first; otherwise it is held already. */
  readonly claim: boolean;
  /** Whether state and counters start from zero; not so where only a hook went missing. */
  readonly fresh: boolean;
}

/** A step that failed. */
export interface StepFailure {
  readonly step: Step;
  readonly error: Error;
}
