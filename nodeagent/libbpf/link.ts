/** Attaches programs to cgroups by links, which are pinned: a link whose pin is gone is gone. */
import { openSync } from 'node:fs';
import { call, callUnless, openPin, pin, readInfo, withDescriptor } from './call.ts';
import { little } from './native.ts';

/** Attach types of include/uapi/linux/bpf.h, as far as they are used here. */
export const attachTypes = { ingress: 0, egress: 1, sock_ops: 3, iterator: 28 } as const;

/** An attach type of a cgroup. */
export type CgroupAttachType = 'ingress' | 'egress' | 'sock_ops';

/** What a pinned link does. */
export interface LinkInfo {
  /** The kernel's number of the program. */
  readonly programId: number;
  /** The cgroup's id; 0 where the cgroup has gone, or somebody has detached the link. */
  readonly cgroupId: bigint;
}

/** struct bpf_link_info: type, id, prog_id; 8-byte aligned, of a cgroup: cgroup_id, attach_type. */
const infoBytes = 28;
/** BPF_CGROUP_MAX_PROGS of the kernel. */
const mostPrograms = 64;

/** Reads a pinned link. @returns undefined if nothing is pinned there @throws BpfError */
export function readLink(path: string): LinkInfo | undefined {
  const descriptor = callUnless('ENOENT', `open ${path}`, (libbpf) => libbpf.bpf_obj_get(path));
  if (descriptor === undefined) return undefined;
  const info = withDescriptor(descriptor, (link) => readInfo(link, infoBytes));
  return { programId: info.getUint32(8, little), cgroupId: info.getBigUint64(16, little) };
}

/** A cgroup's directory, open. */
export interface OpenCgroup {
  readonly descriptor: number;
  readonly directory: string;
}

/**
 * Attaches a program to a cgroup and pins the link. A process that is killed in between leaves nothing.
 * @param program its file descriptor
 * @param path of the pin
 * @throws BpfError
 */
export function attachToCgroup(program: number, cgroup: OpenCgroup, type: CgroupAttachType, path: string): void {
  const { descriptor, directory } = cgroup;
  const link = call(`attach to ${directory} (${type})`, (libbpf) =>
    libbpf.bpf_link_create(program, descriptor, attachTypes[type], null),
  );
  withDescriptor(link, () => pin(link, path));
}

/** Makes a pinned link run another program, at once: no packet meets both or none. @throws BpfError */
export function updateLink(path: string, program: number): void {
  withDescriptor(openPin(path), (link) =>
    call(`update ${path}`, (libbpf) => libbpf.bpf_link_update(link, program, null)),
  );
}

/**
 * Lists the programs that are attached to a cgroup itself.
 * @returns their numbers, and the flags of the attachment
 * @throws BpfError; Error if the cgroup cannot be opened
 */
export function programsOn(directory: string, type: CgroupAttachType): { ids: readonly number[]; flags: number } {
  return withDescriptor(openSync(directory, 'r'), (cgroup) => {
    const [ids, count, flags] = [new Uint32Array(mostPrograms), Uint32Array.of(mostPrograms), new Uint32Array(1)];
    const what = `read what is attached to ${directory} (${type})`;
    call(what, (libbpf) => libbpf.bpf_prog_query(cgroup, attachTypes[type], 0, flags, ids, count));
    return { ids: [...ids.subarray(0, count[0])], flags: flags[0] ?? 0 };
  });
}
