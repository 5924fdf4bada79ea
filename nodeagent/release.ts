/**
 * The program at the root of the cgroup tree that frees sockets of which the limit is gone: those that were silent while it was
 * released, and those whose pod's program was detached without a release.
 */
import { type Bpftool, BpftoolError } from './bpftool.ts';
import { explainAttach } from './explain.ts';
import { attachTypeOf, releaseProgram } from './hooks.ts';
import { programsOf, readProgramIds } from './observe.ts';
import type { Pins } from './pins.ts';

const attachType = attachTypeOf(releaseProgram);

/** Where the program goes and comes from. */
export interface ReleaseOptions {
  readonly bpftool: Bpftool;
  readonly pins: Pins;
  readonly generation: string;
  /** Directory of the cgroup. */
  readonly cgroup: string;
}

/**
 * Attaches a generation's program unless it is there, and then detaches those of old generations.
 * @returns the error if it could not be attached, pods can be limited without it
 */
export async function attachRelease(
  options: ReleaseOptions & { readonly old: readonly string[]; readonly cgroupMount: string },
): Promise<BpftoolError | undefined> {
  const { bpftool, pins, generation, cgroup, old, cgroupMount } = options;
  try {
    const attached = new Set(
      programsOf(await bpftool.run(['cgroup', 'show', cgroup, 'effective'])).map((program) => program.id),
    );
    const isAttached = async (name: string) =>
      attached.has((await readProgramIds(bpftool, pins, name)).get(releaseProgram) ?? -1);
    if (!(await isAttached(generation))) {
      const program = pins.program(generation, releaseProgram);
      await bpftool.run(['cgroup', 'attach', cgroup, attachType, 'pinned', program, 'multi']);
    }
    for (const name of old) if (await isAttached(name)) await detachRelease({ ...options, generation: name });
    return undefined;
  } catch (error) {
    if (!(error instanceof BpftoolError) || error.code === 'bpftool/missing') throw error;
    return explainAttach(error, bpftool, cgroupMount);
  }
}

/** Detaches a generation's program; that it is not attached is no error. */
export async function detachRelease({ bpftool, pins, generation, cgroup }: ReleaseOptions): Promise<void> {
  const program = pins.program(generation, releaseProgram);
  try {
    await bpftool.run(['cgroup', 'detach', cgroup, attachType, 'pinned', program]);
  } catch (error) {
    if (!(error instanceof BpftoolError) || error.code !== 'bpftool/refused') throw error;
  }
}
