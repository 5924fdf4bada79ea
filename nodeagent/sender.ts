/**
 * The sender's half of cooperative ingress: one program at the root of the cgroup tree, so that every sender on the node slows
 * down when a limited pod anywhere tells it to.
 */
import { type Bpftool, BpftoolError } from './bpftool.ts';
import { explainAttach } from './explain.ts';
import { attachTypeOf, senderProgram } from './hooks.ts';
import { programsOf, readProgramIds } from './observe.ts';
import type { Pins } from './pins.ts';

const attachType = attachTypeOf(senderProgram);

/** Where the sender's half goes and comes from. */
export interface SenderOptions {
  readonly bpftool: Bpftool;
  readonly pins: Pins;
  readonly generation: string;
  /** Directory of the cgroup. */
  readonly cgroup: string;
}

/**
 * Attaches a generation's sender half unless it is there, and then takes those of old generations off.
 * @returns the error if it could not be attached, because pods can be limited without it
 */
export async function attachSender(
  options: SenderOptions & { readonly old: readonly string[]; readonly cgroupMount: string },
): Promise<BpftoolError | undefined> {
  const { bpftool, pins, generation, cgroup, old, cgroupMount } = options;
  try {
    const attached = new Set(
      programsOf(await bpftool.run(['cgroup', 'show', cgroup, 'effective'])).map((program) => program.id),
    );
    const isAttached = async (name: string) =>
      attached.has((await readProgramIds(bpftool, pins, name)).get(senderProgram) ?? -1);
    if (!(await isAttached(generation))) {
      const program = pins.program(generation, senderProgram);
      await bpftool.run(['cgroup', 'attach', cgroup, attachType, 'pinned', program, 'multi']);
    }
    for (const name of old) if (await isAttached(name)) await detachSender({ ...options, generation: name });
    return undefined;
  } catch (error) {
    if (!(error instanceof BpftoolError) || error.code === 'bpftool/missing') throw error;
    return explainAttach(error, bpftool, cgroupMount);
  }
}

/** Takes a generation's sender half off; that it is not attached is no error. */
export async function detachSender({ bpftool, pins, generation, cgroup }: SenderOptions): Promise<void> {
  const program = pins.program(generation, senderProgram);
  try {
    await bpftool.run(['cgroup', 'detach', cgroup, attachType, 'pinned', program]);
  } catch (error) {
    if (!(error instanceof BpftoolError) || error.code !== 'bpftool/refused') throw error;
  }
}
