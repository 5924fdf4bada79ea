/** The shaper of a node: its programs and maps in the kernel, and what can be done with them. */
import { access } from 'node:fs/promises';
import { type Adopted, adoptConnections } from './adopter.ts';
import type { Block } from './blocks.ts';
import { type Bpftool, type BpftoolError, bytesOf, type Command, hex } from './bpftool.ts';
import { inode } from './cgroups.ts';
import { commandsOf } from './commands.ts';
import { writeExempt } from './exempt.ts';
import { explainAttach } from './explain.ts';
import { classifierProgram, type Hook } from './hooks.ts';
import { type Counters, decodeCounters, decodeReceiveTimes, encodeU32, type ReceiveTimes } from './layout.ts';
import {
  type GenerationState,
  readAttached,
  readCommands,
  readGeneration,
  readingOf,
  readProgramIds,
  sortPrograms,
} from './observe.ts';
import { generationOf, type MapName, type Pins } from './pins.ts';
import type { Classifier } from './queue.ts';
import { attachRelease, detachRelease } from './release.ts';
import type { Cgroup, Observation, Orphan, SlotState, Step, StepFailure } from './state.ts';

/** What a shaper is built from. */
export interface ShaperOptions {
  readonly bpftool: Bpftool;
  readonly pins: Pins;
  /** Path of the compiled object, shaper.bpf.o. */
  readonly objectFile: string;
  /** Directory of the cgroup where the release program goes: the root of the tree, or undefined to leave it out. */
  readonly releaseCgroup: string | undefined;
  /** Where the cgroup2 tree begins. */
  readonly cgroupMount: string;
  /** Peers to which no limit applies; undefined leaves the list in the kernel as it is. */
  readonly exempt?: readonly Block[] | undefined;
}

/** The verbs of a shaper. All of them may be called at any time and in any state of the kernel. */
export interface Shaper {
  /**
   * Makes the object's generation loaded and pinned; costs no run of bpftool where it is.
   * @returns whether this shaper had found it so before: its maps are those of the last call then
   * @throws BpftoolError
   */
  install(): Promise<boolean>;
  /**
   * Makes this generation's release program attached, and that of no other.
   * @returns why it could not be; pods can be limited without it
   */
  installRelease(): Promise<BpftoolError | undefined>;
  /** The program of this generation that queues have as their filter, and whose slots it knows. */
  classifier(): Classifier & { readonly generation: string };
  /** Reads the state of all generations; of the cgroups that `look` picks also what is attached, program by program. */
  observe(look: (slots: readonly SlotState[], known: Observation['known']) => readonly Cgroup[]): Promise<Observation>;
  /**
   * Does the steps, in one run of bpftool if none fails, and reads the state again in the same run: the next observe() takes that.
   * A step that fails does not keep others from being done; one whose cgroup vanished meanwhile has not failed.
   * @returns those that failed
   */
  apply(steps: readonly Step[]): Promise<StepFailure[]>;
  /** Reads the counters of slots. @returns them in the order of the slots */
  counters(slots: readonly Pick<SlotState, 'generation' | 'slot'>[]): Promise<Counters[]>;
  /** Reads when received packets of slots were last seen. @returns in the order of the slots */
  receiveTimes(slots: readonly Pick<SlotState, 'generation' | 'slot'>[]): Promise<ReceiveTimes[]>;
  /**
   * Brings connections under pacing that are older than their limit, in network namespaces that are given by their files.
   * @returns undefined where the kernel cannot do it
   */
  adopt(namespaces: readonly string[]): Promise<Adopted | undefined>;
  /** Detaches the release program and removes all pins. Slots must be detached before. */
  remove(): Promise<void>;
}

interface Installed {
  readonly generation: string;
  readonly classifier: Classifier;
  readonly sizes: Readonly<Record<'states' | 'counters', number>>;
}

/** A slot's counters take about 1 KB of output for each CPU; this many at a time keep it in bounds on large machines. */
const countersAtOnce = 64;

/** Builds the shaper. Nothing is done before install(). */
export function createShaper(options: ShaperOptions): Shaper {
  const { bpftool, pins, objectFile, releaseCgroup, cgroupMount, exempt } = options;
  let installed: Installed | undefined;
  let hints: Map<string, readonly number[]> = new Map();
  let fresh: GenerationState | undefined;

  const current = () => {
    if (installed === undefined) throw new Error('install() comes first');
    return installed;
  };
  const valueSizes = async (generation: string) => {
    const size = async (name: MapName) =>
      ((await bpftool.run(['map', 'show', 'pinned', pins.map(generation, name)])) as { bytes_value: number })
        .bytes_value;
    return { states: await size('states'), counters: await size('counters') };
  };
  const classifierOf = async (generation: string): Promise<Classifier> => {
    const file = pins.program(generation, classifierProgram);
    const { id } = (await bpftool.run(['prog', 'show', 'pinned', file])) as { id: number };
    return { file, id };
  };
  const others = async () => (await pins.list()).filter((name) => name !== installed?.generation);

  return {
    async install() {
      fresh = undefined;
      // The object is the installation's constant: its hash is computed once, not on each pass.
      const generation = installed?.generation ?? (await generationOf(objectFile));
      const kept = installed;
      if (!(await pins.complete(generation))) {
        installed = undefined;
        // What is left of the pins steers nothing; the programs that lost them are found on their cgroups as orphans.
        await pins.remove(generation);
        await pins.tidy();
        await pins.load(objectFile, generation);
      }
      if (installed === undefined && exempt !== undefined) {
        await writeExempt(bpftool, pins.map(generation, 'exempt'), exempt);
      }
      installed ??= {
        generation,
        sizes: await valueSizes(generation),
        classifier: await classifierOf(generation),
      };
      return installed === kept;
    },

    async installRelease() {
      if (releaseCgroup === undefined) return undefined;
      const { generation } = current();
      return attachRelease({ bpftool, pins, generation, old: await others(), cgroup: releaseCgroup, cgroupMount });
    },

    classifier() {
      const { generation, classifier } = current();
      return { ...classifier, generation };
    },

    async observe(look) {
      const { generation } = current();
      const oldGenerations = await others();
      const read = (name: string) => readGeneration(bpftool, pins, name, hints.get(name) ?? []);
      const states = new Map([[generation, fresh ?? (await read(generation))]]);
      fresh = undefined;
      for (const name of oldGenerations) states.set(name, await read(name));
      hints = new Map([...states].map(([name, state]) => [name, state.slots.map((slot) => slot.slot)]));
      const slots = [...states.values()].flatMap((state) => state.slots);
      const known = new Map([...states].map(([name, state]) => [name, state.known]));
      const cgroups = look(slots, known);
      const attached = new Map<bigint, Map<string, Set<Hook>>>();
      const orphans: Orphan[] = [];
      if (cgroups.length > 0) {
        const ids = new Map<string, Map<string, number>>();
        for (const name of states.keys()) ids.set(name, await readProgramIds(bpftool, pins, name));
        const found = await readAttached(bpftool, cgroups);
        for (const cgroup of cgroups) {
          const sorted = sortPrograms(cgroup, found.get(cgroup.id) ?? [], ids);
          attached.set(cgroup.id, sorted.attached);
          orphans.push(...sorted.orphans);
        }
      }
      return { generation, oldGenerations, slots, known, attached, orphans };
    },

    async apply(steps) {
      const { generation, sizes } = current();
      const failures: StepFailure[] = [];
      const claimed = steps.flatMap((step) => (step.kind === 'attach' ? [step.slot] : []));
      const guesses = [...new Set([...(hints.get(generation) ?? []), ...claimed])];
      const reading = readCommands(pins, generation, guesses);
      hints.set(generation, guesses);
      fresh = undefined;
      let rest = [...steps];
      while (rest.length > 0) {
        const groups = rest.map((step) => commandsOf(step, pins, sizes));
        const commands = groups.flat();
        const { outputs, error } = await bpftool.batch([...commands, ...reading]);
        if (error === undefined) {
          fresh = await readingOf(bpftool, pins, generation, guesses, outputs.slice(commands.length));
          break;
        }
        if (outputs.length >= commands.length) throw error;
        // The batch ended in the middle of one step; the steps behind it have not begun.
        let done = 0;
        let failed = 0;
        while (failed < groups.length - 1 && done + (groups[failed]?.length ?? 0) <= outputs.length) {
          done += groups[failed]?.length ?? 0;
          failed += 1;
        }
        const step = rest[failed] as Step;
        if (!(await isMoot(step, error))) {
          failures.push({ step, error: await explainAttach(error, bpftool, cgroupMount) });
        }
        rest = rest.slice(failed + 1);
      }
      for (const step of steps) {
        if (step.kind !== 'remove-generation') continue;
        // Without its pins nothing could take it off any more.
        const old = { bpftool, pins, generation: step.generation };
        if (releaseCgroup !== undefined) await detachRelease({ ...old, cgroup: releaseCgroup });
        await pins.remove(step.generation);
      }
      return failures;
    },

    async counters(slots) {
      const result: Counters[] = [];
      for (let start = 0; start < slots.length; start += countersAtOnce) {
        const commands = slots.slice(start, start + countersAtOnce).map((slot): Command => {
          const map = pins.map(slot.generation, 'counters');
          return ['map', 'lookup', 'pinned', map, 'key', ...hex(encodeU32(slot.slot))];
        });
        const { outputs, error } = await bpftool.batch(commands);
        if (error !== undefined) throw error;
        for (const output of outputs as { values: { value: unknown }[] }[]) {
          result.push(decodeCounters(output.values.map((cpu) => bytesOf(cpu.value))));
        }
      }
      return result;
    },

    async receiveTimes(slots) {
      const commands = slots.map((slot): Command => {
        const map = pins.map(slot.generation, 'states');
        return ['map', 'lookup', 'pinned', map, 'key', ...hex(encodeU32(slot.slot))];
      });
      const { outputs, error } = await bpftool.batch(commands);
      if (error !== undefined) throw error;
      return (outputs as { value: unknown }[]).map(({ value }) => decodeReceiveTimes(bytesOf(value)));
    },

    async adopt(namespaces) {
      const adopter = pins.adopter(current().generation);
      const there = await access(adopter).then(
        () => true,
        () => false,
      );
      return there ? adoptConnections(adopter, namespaces) : undefined;
    },

    async remove() {
      for (const generation of await pins.list()) {
        if (releaseCgroup !== undefined) await detachRelease({ bpftool, pins, generation, cgroup: releaseCgroup });
        await pins.remove(generation);
      }
      await pins.tidy();
      installed = undefined;
    },
  };
}

/** Whether a step failed only because its cgroup vanished meanwhile: the next observation no longer asks for it. */
async function isMoot(step: Step, error: BpftoolError): Promise<boolean> {
  if (step.kind === 'free') return error.message.includes('No such file');
  if (step.kind !== 'attach' && step.kind !== 'detach') return false;
  return (await inode(step.cgroup.path)) !== step.cgroup.id;
}
