/** Finds out why the kernel refused to attach a program: its error says nothing. */
import { dirname } from 'node:path';
import { orUndefined } from '../base/errors.ts';
import { BpfError } from './error.ts';
import { type CgroupAttachType, programsOn } from './link.ts';
import { programName } from './program.ts';

/** The flags of an attachment: include/uapi/linux/bpf.h. */
const [overridable, multi] = [1, 2];

/**
 * Adds to the error of a failed attach what is in its way, if that can be seen. A program that was attached without
 * BPF_F_ALLOW_MULTI shuts all others out, on its cgroup and, unless it allowed overriding, below it (kernel:
 * hierarchy_allows_attach).
 * @param directory of the cgroup
 * @param mount where the cgroup2 tree begins
 */
export function explainAttach(error: Error, directory: string, type: CgroupAttachType, mount: string): Error {
  for (let cgroup = directory; `${cgroup}/`.startsWith(`${mount}/`); cgroup = dirname(cgroup)) {
    const { ids, flags } = orUndefined(() => programsOn(cgroup, type)) ?? { ids: [], flags: 0 };
    const [id] = ids;
    const shutsOut = (flags & multi) === 0 && ((flags & overridable) === 0 || cgroup === directory);
    if (id === undefined || !shutsOut) continue;
    // To look a program up takes CAP_SYS_ADMIN.
    const name = orUndefined(() => programName(id)) ?? '(of unknown name)';
    const problem =
      `the program ${name} (id ${id}) is attached to ${cgroup} for ${type} without multi, ` +
      `so no other program can be attached to ${directory}`;
    const remedy =
      'have its owner attach it with BPF_F_ALLOW_MULTI, ' +
      `or take it off with: bpftool cgroup detach ${cgroup} ${type} id ${id}`;
    return new BpfError('bpf/refused', problem, { remedy, cause: error });
  }
  return error;
}
