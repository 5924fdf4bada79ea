/** Attaches programs to cgroups by links, which are pinned: a link whose pin is gone is gone. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { call, callUnless, openPin, pin, readInfo, withDescriptor } from './call.ts';
import { BpfError, isMissing, refused } from './error.ts';
import { loadLibrary } from './library.ts';
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

/** Reads a pinned link. @returns undefined if nothing is pinned there @throws BpfError */
export function readLink(path: string): LinkInfo | undefined {
  const descriptor = callUnless('ENOENT', `open ${path}`, (libbpf) => libbpf.bpf_obj_get(path));
  if (descriptor === undefined) return undefined;
  return withDescriptor(descriptor, (link) => {
    const info = readInfo(link, infoBytes);
    return { programId: info.getUint32(8, little), cgroupId: info.getBigUint64(16, little) };
  });
}

/** A cgroup's directory, open. */
export interface OpenCgroup {
  readonly descriptor: number;
  readonly directory: string;
}

/** Opens a cgroup, uses and closes it. @throws BpfError */
export function withCgroup<T>(directory: string, use: (cgroup: OpenCgroup) => T): T {
  return withDescriptor(openDirectory(directory), (descriptor) => use({ descriptor, directory }));
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

/** Removes a pin, and so what it attaches. One that is gone is no error. */
export function unpin(path: string): void {
  rmSync(path, { force: true });
}

/** Lists the programs that are attached to a cgroup itself. @returns their numbers; none if it has gone @throws BpfError */
export function programsOn(directory: string, type: CgroupAttachType): { ids: readonly number[]; flags: number } {
  const nothing = { ids: [], flags: 0 };
  let cgroup: number;
  try {
    cgroup = openDirectory(directory);
  } catch (error) {
    if (isMissing(error)) return nothing;
    throw error;
  }
  try {
    const ids = new Uint32Array(mostPrograms);
    const [count, flags] = [Uint32Array.of(mostPrograms), new Uint32Array(1)];
    const what = `read what is attached to ${directory} (${type})`;
    call(what, (libbpf) => libbpf.bpf_prog_query(cgroup, attachTypes[type], 0, flags, ids, count));
    return { ids: [...ids.subarray(0, count[0])], flags: flags[0] ?? 0 };
  } finally {
    closeSync(cgroup);
  }
}

/** BPF_CGROUP_MAX_PROGS of the kernel. */
const mostPrograms = 64;

/** Takes a program off a cgroup that was attached without a link. One that is gone is no error. @throws BpfError */
export function detachFromCgroup(program: number, directory: string, type: CgroupAttachType): void {
  const cgroup = openDirectory(directory);
  try {
    const result = loadLibrary().libbpf.bpf_prog_detach2(program, cgroup, attachTypes[type]);
    const error = result < 0 ? refused(`detach from ${directory} (${type})`, -result) : undefined;
    if (error !== undefined && error.errno !== 'ENOENT') throw error;
  } finally {
    closeSync(cgroup);
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    // ENODEV: a cgroup that is just being removed.
    const errno = code === 'ENODEV' || code === 'ENOTDIR' ? 'ENOENT' : code;
    throw new BpfError('bpf/refused', `${path} cannot be opened (${code})`, { errno, cause });
  }
}
