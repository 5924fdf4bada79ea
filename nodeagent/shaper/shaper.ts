/** The shaper of a node: its programs and maps in the kernel, and what can be done with them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inode } from '../cgroup/tree.ts';
import { explainAttach } from '../libbpf/blocking.ts';
import { BpfError } from '../libbpf/error.ts';
import { pinnedProgramId } from '../libbpf/program.ts';
import type { Block } from '../net/blocks.ts';
import { withSteps } from './apply.ts';
import { attachTypeOf, classifierProgram, hooks } from './hooks.ts';
import { adopterPin, install, isInstalled } from './install.ts';
import { type Counters, decodeCounters, encodeU32, isBypassed } from './layout.ts';
import { withMaps, writeExempt } from './maps.ts';
import { observe } from './observe.ts';
import { digestOf, leaveOtherLayouts, otherLayouts, pinsIn, removeOtherPrograms, removePins } from './pins.ts';
import { attachRelease } from './release.ts';
import type { SlotState, Step, StepFailure } from './steps.ts';

/** What a shaper is built from. */
export interface ShaperOptions {
  /** Directory of the pins, in a BPF file system. */
  readonly pinDirectory: string;
  /** Path of the compiled object, shaper.bpf.o. */
  readonly objectFile: string;
  /** Directory of the cgroup where the release program goes: the root of the tree, or undefined to leave it out. */
  readonly releaseCgroup: string | undefined;
  /** Where the cgroup2 tree begins. */
  readonly cgroupMount: string;
  /** Peers to which no limit applies; undefined leaves the list in the kernel as it is. */
  readonly exempt?: readonly Block[] | undefined;
}

/** The pinned BPF program that chooses the class of a packet. */
export interface Classifier {
  /** Its pin. */
  readonly file: string;
  /** The kernel's number of the program. */
  readonly id: number;
}

/** A shaper. */
export type Shaper = ReturnType<typeof createShaper>;

/**
 * Builds the shaper. Nothing is done before install(). All of its verbs may be called at any time and in any state of
 * the kernel, and throw BpfError.
 */
export function createShaper({ pinDirectory, objectFile, releaseCgroup, cgroupMount, exempt }: ShaperOptions) {
  const pins = pinsIn(pinDirectory);
  let known: string | undefined;
  // The object is the installation's constant.
  const digest = () => {
    known ??= digestOf(objectFile);
    return known;
  };

  return {
    /** Reports whether all programs and maps of this version are pinned. */
    isInstalled: () => isInstalled(pins, digest()),

    /** Makes them pinned; costs microseconds where they are. */
    install() {
      if (!isInstalled(pins, digest())) install(objectFile, pins, digest());
      if (exempt !== undefined) writeExempt(pins, exempt);
    },

    /** Makes the release program attached. @returns why it could not be; pods can be limited without it */
    installRelease: () =>
      releaseCgroup === undefined ? undefined : attachRelease(pins, digest(), releaseCgroup, cgroupMount),

    /** Returns the program that queues have as their filter, and whose slots it knows. */
    classifier(): Classifier {
      const file = join(pins.programs(digest()), classifierProgram);
      const id = pinnedProgramId(file);
      if (id === undefined) throw new BpfError('bpf/refused', `${file} is not pinned`, { errno: 'ENOENT' });
      return { file, id };
    },

    /** Reads all slots that are held, and what is attached to their cgroups. */
    observe: () => observe(pins, digest()),

    /**
     * Does the steps. One that fails does not keep others from being done; one whose cgroup vanished meanwhile has not
     * failed.
     * @returns those that failed
     */
    apply(steps: readonly Step[]): StepFailure[] {
      if (steps.length === 0) return [];
      return withSteps(pins, digest(), (applyStep) =>
        steps.flatMap((step) => {
          try {
            applyStep(step);
            return [];
          } catch (error) {
            if (!(error instanceof Error)) throw error;
            return isMoot(step) ? [] : [{ step, error: explain(step, error, cgroupMount) }];
          }
        }),
      );
    },

    /** Removes programs of other versions. */
    tidy: () => removeOtherPrograms(pins, digest()),

    /** Reads the counters of slots. @returns them in the order of the slots */
    counters: (slots: readonly Pick<SlotState, 'slot'>[]): Counters[] =>
      withMaps(pins, ['counts'], ({ counts }) =>
        slots.map(({ slot }) => decodeCounters(counts.lookupPerCpu(encodeU32(slot)))),
      ),

    /** Picks the slots that received packets past their queue, as with the host routing of some network plugins. */
    bypassing: (slots: readonly SlotState[]): SlotState[] =>
      withMaps(pins, ['states'], ({ states }) =>
        slots.filter(({ slot }) => isBypassed(states.lookup(encodeU32(slot)) ?? new Uint8Array(states.valueSize))),
      ),

    /** Returns the pinned iterator that adopts older connections; undefined where the kernel has none. */
    adopter(): string | undefined {
      const adopter = join(pins.programs(digest()), adopterPin);
      return existsSync(adopter) ? adopter : undefined;
    },

    /** Reports whether versions with other maps have left something: what that limits is not observed. */
    hasOtherLayouts: () => otherLayouts(pins).length > 0,

    /** Takes what such versions have attached off cgroups, and removes their pins once no cgroup is limited by them. */
    leaveOtherLayouts: (cgroupIds: ReadonlySet<bigint>) => leaveOtherLayouts(pins, cgroupIds),

    /** Removes all pins, those of other versions too, and so detaches everything. */
    remove: () => removePins(pins),
  };
}

/** Whether a step failed only because its cgroup vanished meanwhile: the next observation no longer asks for it. */
function isMoot(step: Step): boolean {
  return step.kind === 'attach' && inode(step.cgroup.path) !== step.cgroup.id;
}

/** Says what is in the way of an attach. */
function explain(step: Step, error: Error, cgroupMount: string): Error {
  if (step.kind !== 'attach' || !(error instanceof BpfError)) return error;
  for (const hook of hooks) {
    const explained = explainAttach(error, step.cgroup.path, attachTypeOf[hook], cgroupMount);
    if (explained !== error) return explained;
  }
  return error;
}
