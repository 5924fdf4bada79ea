/** Finds out why the kernel refused to attach a program: bpftool does not say. */
import { dirname, relative } from 'node:path';
import { type Bpftool, BpftoolError } from './bpftool.ts';
import { normalAttachType, programOf, releaseProgram } from './hooks.ts';
import { programsOf } from './observe.ts';

const own = new Set([...Object.values(programOf), releaseProgram]);

/**
 * Adds to the error of a failed `cgroup attach` what stands in its way, if that can be seen. A program that was attached without
 * `multi` shuts all others out, on its cgroup and, unless it allowed overriding, below it (kernel: hierarchy_allows_attach).
 */
export async function explainAttach(error: BpftoolError, bpftool: Bpftool, cgroupMount: string): Promise<BpftoolError> {
  const [object, verb, path, attachType] = error.command;
  if (object !== 'cgroup' || verb !== 'attach' || path === undefined || attachType === undefined) return error;
  for (let cgroup = path; isWithin(cgroup, cgroupMount); cgroup = dirname(cgroup)) {
    const output = await bpftool.run(['cgroup', 'show', cgroup]).catch(() => null);
    const blocking = programsOf(output).find(
      (program) =>
        program.attachType === normalAttachType(attachType) &&
        !own.has(program.name) &&
        (program.flags === '' || (program.flags === 'override' && cgroup === path)),
    );
    if (blocking !== undefined) {
      const message =
        `the program ${blocking.name || '(no name)'} (id ${blocking.id}) is attached to ${cgroup} for ${attachType} ` +
        `without multi, so no other program can be attached to ${path}: have its owner attach it with BPF_F_ALLOW_MULTI, ` +
        `or take it off with: bpftool cgroup detach ${cgroup} ${attachType} id ${blocking.id}`;
      return new BpftoolError('bpftool/refused', error.command, message, { cause: error });
    }
    if (cgroup === cgroupMount) break;
  }
  return error;
}

function isWithin(path: string, mount: string): boolean {
  return !relative(mount, path).startsWith('..');
}
