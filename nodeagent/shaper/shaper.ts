/** The shaper of a node: its programs and maps in the kernel, and what can be done with them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup } from '../cgroup/cgroup.ts';
import { inode } from '../cgroup/cgroup.ts';
import { explainAttach } from '../libbpf/blocking.ts';
import { BpfError } from '../libbpf/error.ts';
import { unboundLockedMemory } from '../libbpf/locked-memory.ts';
import { pinnedProgramId } from '../libbpf/program.ts';
import type { Block } from '../net/blocks.ts';
import { withSteps } from './apply.ts';
import { writeExempt } from './exempt.ts';
import { attachTypeOf, classifierProgram, hooks } from './hooks.ts';
import { adopterPin, install, isInstalled } from './install.ts';
import { type Counters, decodeCounters, decodeReceiveTimes, encodeU32, type ReceiveTimes } from './layout.ts';
import { withMaps } from './maps.ts';
import { observe } from './observe.ts';
import { leaveOtherLayout, readOtherLayouts, removeOtherLayouts, removeUnusedLayouts } from './other-layouts.ts';
import { digestOf, type Pins, pinsIn, removeOtherPrograms, removePins } from './pins.ts';
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

/** The verbs of a shaper. All of them may be called at any time and in any state of the kernel. */
export interface Shaper {
  readonly pins: Pins;
  /** Whether all programs and maps of this version are pinned. */
  isInstalled(): boolean;
  /** Makes them pinned; costs microseconds where they are. @throws BpfError */
  install(): void;
  /**
   * Makes the release program attached.
   * @returns why it could not be; pods can be limited without it
   */
  installRelease(): BpfError | undefined;
  /** The program that queues have as their filter, and whose slots it knows. @throws BpfError */
  classifier(): Classifier;
  /** Reads all slots that are held, and what is attached to their cgroups. @throws BpfError */
  observe(): SlotState[];
  /**
   * Does the steps. One that fails does not keep others from being done; one whose cgroup vanished meanwhile has not
   * failed.
   * @returns those that failed
   * @throws BpfError if the maps or programs cannot be opened
   */
  apply(steps: readonly Step[]): StepFailure[];
  /** Removes programs of other versions, once no link runs them, and interrupted loads. */
  tidy(): void;
  /** Reads the counters of slots. @returns them in the order of the slots @throws BpfError */
  counters(slots: readonly Pick<SlotState, 'slot'>[]): Counters[];
  /** Reads when received packets of slots were last seen. @returns in the order of the slots @throws BpfError */
  receiveTimes(slots: readonly Pick<SlotState, 'slot'>[]): ReceiveTimes[];
  /** The pinned iterator that adopts older connections; undefined where the kernel has none. */
  adopter(): string | undefined;
  /** Whether versions with other maps have left something: what that limits is not observed. */
  hasOtherLayouts(): boolean;
  /**
   * Takes what other versions, with other maps, have attached off cgroups, and removes their pins once nothing of them is
   * attached any more.
   * @param directories returns all cgroups of the machine; undefined to leave the pins for another time
   * @throws BpfError
   */
  leaveOtherLayouts(
    cgroups: readonly Cgroup[],
    directories: (() => Promise<readonly string[]>) | undefined,
  ): Promise<void>;
  /**
   * Removes all pins, and so detaches everything, and what other versions have attached.
   * @param directories all cgroups of the machine
   * @throws BpfError
   */
  remove(directories: readonly string[]): void;
}

/** Builds the shaper. Nothing is done before install(). */
export function createShaper(options: ShaperOptions): Shaper {
  const { pinDirectory, objectFile, releaseCgroup, cgroupMount, exempt } = options;
  const pins = pinsIn(pinDirectory);
  let known: string | undefined;
  // The object is the installation's constant.
  const digest = () => {
    known ??= digestOf(objectFile);
    return known;
  };

  return {
    pins,
    isInstalled: () => isInstalled(pins, digest()),

    install() {
      if (!isInstalled(pins, digest())) install(objectFile, pins, digest());
      if (exempt !== undefined) writeExempt(pins, exempt);
    },

    installRelease() {
      return releaseCgroup === undefined ? undefined : attachRelease(pins, digest(), releaseCgroup, cgroupMount);
    },

    classifier() {
      const file = join(pins.programs(digest()), classifierProgram);
      const id = pinnedProgramId(file);
      if (id === undefined) throw new BpfError('bpf/refused', `${file} is not pinned`, { errno: 'ENOENT' });
      return { file, id };
    },

    observe: () => observe(pins, digest()),

    apply(steps) {
      unboundLockedMemory();
      const failures: StepFailure[] = [];
      if (steps.length === 0) return failures;
      return withSteps(pins, digest(), (applyStep) => {
        for (const step of steps) {
          try {
            applyStep(step);
          } catch (error) {
            if (!(error instanceof Error)) throw error;
            if (!isMoot(step)) failures.push({ step, error: explain(step, error, cgroupMount) });
          }
        }
        return failures;
      });
    },

    tidy: () => removeOtherPrograms(pins, digest(), Date.now()),

    counters: (slots) =>
      withMaps(pins, ['counters'], ({ counters }) =>
        slots.map(({ slot }) => decodeCounters(counters.lookupPerCpu(encodeU32(slot)))),
      ),

    receiveTimes: (slots) =>
      withMaps(pins, ['states'], ({ states }) =>
        slots.map(({ slot }) => decodeReceiveTimes(states.lookup(encodeU32(slot)) ?? new Uint8Array(states.valueSize))),
      ),

    adopter() {
      const adopter = join(pins.programs(digest()), adopterPin);
      return existsSync(adopter) ? adopter : undefined;
    },

    hasOtherLayouts: () => readOtherLayouts(pins) !== undefined,

    async leaveOtherLayouts(cgroups, directories) {
      const others = readOtherLayouts(pins);
      if (others === undefined) return;
      for (const cgroup of cgroups) leaveOtherLayout(others, cgroup);
      if (directories === undefined) return;
      const all = await directories();
      const left = readOtherLayouts(pins);
      if (left !== undefined) removeUnusedLayouts(left, all);
    },

    remove(directories) {
      removePins(pins);
      removeOtherLayouts(pins, directories);
    },
  };
}

/** Whether a step failed only because its cgroup vanished meanwhile: the next observation no longer asks for it. */
function isMoot(step: Step): boolean {
  return step.kind === 'attach' && inode(step.cgroup.path) !== step.cgroup.id;
}

/** Says what is in the way of an attach. */
function explain(step: Step, error: Error, cgroupMount: string): Error {
  if (step.kind !== 'attach' || !(error instanceof BpfError) || error.code !== 'bpf/refused') return error;
  for (const hook of hooks) {
    const type = attachTypeOf[hook];
    const explained = explainAttach(error, { directory: step.cgroup.path, type, cgroupMount });
    if (explained !== error) return explained;
  }
  return error;
}
