/** Finds out why the kernel refused to attach a program: its error says nothing. */
import { dirname, relative } from 'node:path';
import { withDescriptor } from './call.ts';
import { BpfError } from './error.ts';
import { type CgroupAttachType, programsOn } from './link.ts';
import { openProgram, programName } from './program.ts';

/** What could not be attached to. */
export interface Attempt {
  /** Directory of the cgroup. */
  readonly directory: string;
  readonly type: CgroupAttachType;
  /** Where the cgroup2 tree begins. */
  readonly cgroupMount: string;
}

/** The flags of an attachment: include/uapi/linux/bpf.h. */
const [overridable, multi] = [1, 2];

/**
 * Adds to the error of a failed attach what is in its way, if that can be seen. A program that was attached without
 * BPF_F_ALLOW_MULTI shuts all others out, on its cgroup and, unless it allowed overriding, below it (kernel:
 * hierarchy_allows_attach).
 */
export function explainAttach(error: BpfError, { directory, type, cgroupMount }: Attempt): BpfError {
  for (let cgroup = directory; isWithin(cgroup, cgroupMount); cgroup = dirname(cgroup)) {
    const { ids, flags } = read(cgroup, type);
    const [id] = ids;
    const shutsOut = (flags & multi) === 0 && ((flags & overridable) === 0 || cgroup === directory);
    if (id !== undefined && shutsOut) {
      const problem =
        `the program ${nameOf(id)} (id ${id}) is attached to ${cgroup} for ${type} without multi, ` +
        `so no other program can be attached to ${directory}`;
      const remedy =
        'have its owner attach it with BPF_F_ALLOW_MULTI, ' +
        `or take it off with: bpftool cgroup detach ${cgroup} ${type} id ${id}`;
      return new BpfError('bpf/refused', `${problem}: ${remedy}`, { problem, remedy, cause: error });
    }
    if (cgroup === cgroupMount) break;
  }
  return error;
}

function read(cgroup: string, type: CgroupAttachType): ReturnType<typeof programsOn> {
  try {
    return programsOn(cgroup, type);
  } catch {
    return { ids: [], flags: 0 };
  }
}

/** To look a program up takes CAP_SYS_ADMIN. */
function nameOf(id: number): string {
  try {
    const program = openProgram(id);
    return program === undefined ? '(gone)' : withDescriptor(program, programName) || '(no name)';
  } catch {
    return '(of unknown name)';
  }
}

function isWithin(path: string, mount: string): boolean {
  return !relative(mount, path).startsWith('..');
}
