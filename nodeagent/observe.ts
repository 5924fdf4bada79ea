/** Reads the state of the shaper out of the kernel. */
import { release as kernelRelease } from 'node:os';
import { dirname } from 'node:path';
import { type Bpftool, type BpftoolError, bytesOf, type Command, hex } from './bpftool.ts';
import { type Hook, hooks, normalAttachType, programOf, releaseProgram } from './hooks.ts';
import { decodeConfig, decodeOwner, decodeU32, decodeU64, encodeU32, type Owner, type SlotConfig } from './layout.ts';
import { isLinuxBefore } from './linux-version.ts';
import type { Pins } from './pins.ts';
import type { Cgroup, Orphan, SlotState } from './state.ts';

/** A program that bpftool found on a cgroup. */
export interface AttachedProgram {
  readonly id: number;
  /** One of `egress`, `ingress`, `sock_ops` or another attach type, in one spelling. */
  readonly attachType: string;
  /** `multi`, `override`, or empty for an attachment that shuts out all others. */
  readonly flags: string;
  readonly name: string;
}

/** The maps of a generation, read. */
export interface GenerationState {
  readonly slots: readonly SlotState[];
  /** Slot by cgroup id; 0 where the programs were taken off, or are not on completely. */
  readonly known: ReadonlyMap<bigint, number>;
}

/**
 * The commands that read who holds which slot, and slots' configs; their outputs are for {@link readingOf}.
 * @param guesses slots that are likely to be held; a wrong guess costs a run of bpftool and nothing else
 */
export function readCommands(pins: Pins, generation: string, guesses: readonly number[]): Command[] {
  // A dump ends early if the cgroup at which it stands vanishes (kernel: cgroup_storage_get_next_key), so there are two of them.
  const marks = ['map', 'dump', 'pinned', pins.map(generation, 'slots')];
  const owners = ['map', 'dump', 'pinned', pins.map(generation, 'owners')];
  return [owners, marks, marks, ...guesses.map((slot) => configLookUp(pins, generation, slot))];
}

/**
 * Makes a generation's state of what {@link readCommands} gave; reads the configs that were not guessed.
 * @throws BpftoolError
 */
export async function readingOf(
  bpftool: Bpftool,
  pins: Pins,
  generation: string,
  guesses: readonly number[],
  outputs: readonly unknown[],
): Promise<GenerationState> {
  const [owners, marks, moreMarks, ...guessed] = outputs;
  const ownerOf = new Map<number, Owner>(
    entriesOf(owners).map((entry) => [decodeU32(bytesOf(entry.key)), decodeOwner(bytesOf(entry.value))]),
  );
  const known = new Map(
    [...entriesOf(marks), ...entriesOf(moreMarks)].map((entry) => [
      decodeU64(bytesOf(entry.key)),
      decodeU32(bytesOf(entry.value)),
    ]),
  );
  const configs = new Map<number, SlotConfig>(guesses.map((slot, index) => [slot, configOf(guessed[index])]));
  const others = [...ownerOf.keys()].filter((slot) => !configs.has(slot));
  const found = await all(
    bpftool,
    others.map((slot) => configLookUp(pins, generation, slot)),
  );
  for (const [index, slot] of others.entries()) configs.set(slot, configOf(found[index]));

  const states = [...ownerOf].map(([slot, owner]): SlotState => {
    const marked = known.get(owner.cgroupId) === slot;
    const config = configs.get(slot) as SlotConfig;
    return { generation, slot, cgroupId: owner.cgroupId, owner: owner.name, config, marked };
  });
  return { slots: states.sort((one, other) => one.slot - other.slot), known };
}

/** Reads a generation's state with one run of bpftool, or two if a slot is held that was not guessed. @throws BpftoolError */
export async function readGeneration(
  bpftool: Bpftool,
  pins: Pins,
  generation: string,
  guesses: readonly number[],
): Promise<GenerationState> {
  const outputs = await all(bpftool, readCommands(pins, generation, guesses));
  return readingOf(bpftool, pins, generation, guesses, outputs);
}

/**
 * Lists the programs on cgroups. A cgroup that vanished meanwhile is left out. It takes 10 ms of a fast processor for each cgroup,
 * because bpftool 7.1 reads all of the kernel's own type information each time (`bpftool cgroup tree` does that too).
 * @param release of the kernel, as uname tells it
 * @throws BpftoolError
 */
export async function readAttached(
  bpftool: Bpftool,
  cgroups: readonly Cgroup[],
  release = kernelRelease(),
): Promise<Map<bigint, AttachedProgram[]>> {
  const { commandsFor, programsIn } = isLinuxBefore(release, 6, 0) ? inEffect : attachedHere;
  const result = new Map<bigint, AttachedProgram[]>();
  let rest = [...cgroups];
  while (rest.length > 0) {
    const commands = rest.map(({ path }) => commandsFor(path));
    const each = commands[0]?.length ?? 1;
    const { outputs, error } = await bpftool.batch(commands.flat());
    const done = Math.floor(outputs.length / each);
    rest.slice(0, done).forEach((cgroup, index) => {
      result.set(cgroup.id, programsIn(outputs.slice(each * index, each * (index + 1)).map(programsOf)));
    });
    // A batch ends at its first failure, which here means that the cgroup is gone or cannot be read.
    if (error !== undefined && !isVanished(error)) throw error;
    rest = error === undefined ? [] : rest.slice(done + 1);
  }
  return result;
}

/** How to learn what is attached to a cgroup itself. */
interface Question {
  commandsFor(path: string): Command[];
  programsIn(lists: readonly AttachedProgram[][]): AttachedProgram[];
}

const attachedHere: Question = {
  commandsFor: (path) => [['cgroup', 'show', path]],
  programsIn: ([programs = []]) => programs,
};

/**
 * Before Linux 6.0 bpftool 7 shows nothing but what is in effect: it asks for flags that those kernels cannot tell, and prints an
 * empty list. In effect are the cgroup's own programs, and behind them those of its parent (kernel: compute_effective_progs).
 */
const inEffect: Question = {
  commandsFor: (path) => [path, dirname(path)].map((directory) => ['cgroup', 'show', directory, 'effective']),
  programsIn: ([programs = [], inherited = []]) => {
    const ofType = (list: readonly AttachedProgram[], type: string) =>
      list.filter(({ attachType }) => attachType === type);
    return [...new Set(programs.map(({ attachType }) => attachType))].flatMap((type) => {
      const all = ofType(programs, type);
      return all.slice(0, all.length - ofType(inherited, type).length);
    });
  },
};

/** The programs in the output of `bpftool cgroup show`, which is empty when there are none. */
export function programsOf(output: unknown): AttachedProgram[] {
  if (output === null) return [];
  return (output as { id: number; attach_type?: string; attach_flags?: string; name?: string }[]).map((program) => ({
    id: program.id,
    attachType: normalAttachType(program.attach_type ?? ''),
    flags: program.attach_flags ?? '',
    name: program.name ?? '',
  }));
}

/** Tells whether bpftool failed because a cgroup's directory is no longer there. */
function isVanished(error: BpftoolError): boolean {
  return error.message.includes("can't open cgroup");
}

/**
 * Reads the ids of a generation's programs, as the kernel numbers them.
 * @throws BpftoolError
 */
export async function readProgramIds(bpftool: Bpftool, pins: Pins, generation: string): Promise<Map<string, number>> {
  const names = [...Object.values(programOf), releaseProgram];
  const outputs = await all(
    bpftool,
    names.map((name) => ['prog', 'show', 'pinned', pins.program(generation, name)]),
  );
  return new Map(names.map((name, index) => [name, (outputs[index] as { id: number }).id]));
}

/** Sorts what is attached to a cgroup by generation, and finds the orphans. Programs of others are in neither. */
export function sortPrograms(
  cgroup: Cgroup,
  programs: readonly AttachedProgram[],
  ids: ReadonlyMap<string, ReadonlyMap<string, number>>,
): { attached: Map<string, Set<Hook>>; orphans: Orphan[] } {
  const attached = new Map<string, Set<Hook>>();
  const orphans: Orphan[] = [];
  for (const { id, name, attachType } of programs) {
    const generation = [...ids].find(([, byName]) => [...byName.values()].includes(id))?.[0];
    const hook = hooks.find((candidate) => programOf[candidate] === name);
    if (hook === undefined) continue;
    if (generation === undefined) orphans.push({ cgroup, attachType, programId: id, program: name });
    else attached.set(generation, (attached.get(generation) ?? new Set()).add(hook));
  }
  return { attached, orphans };
}

async function all(bpftool: Bpftool, commands: readonly Command[]): Promise<readonly unknown[]> {
  const { outputs, error } = await bpftool.batch(commands);
  if (error !== undefined) throw error;
  return outputs;
}

function configLookUp(pins: Pins, generation: string, slot: number): Command {
  return ['map', 'lookup', 'pinned', pins.map(generation, 'configs'), 'key', ...hex(encodeU32(slot))];
}

/** An entry that vanished during the dump has an error in place of its value. */
function entriesOf(dump: unknown): { key: unknown; value: unknown }[] {
  return ((dump ?? []) as { key: unknown; value: unknown }[]).filter((entry) => Array.isArray(entry.value));
}

function configOf(found: unknown): SlotConfig {
  return decodeConfig(bytesOf((found as { value: unknown }).value));
}
