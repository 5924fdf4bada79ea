/** Tells programs apart. */
import { callUnless, readInfo, withDescriptor } from './call.ts';
import { little } from './native.ts';

/** The offset of the program's id in struct bpf_prog_info, and of its name and the name's room. */
const [idOffset, nameOffset, nameBytes] = [4, 64, 16];
const infoBytes = nameOffset + nameBytes;

/** Returns the kernel's number of a program. @param descriptor its file descriptor @throws BpfError */
export function programId(descriptor: number): number {
  return readInfo(descriptor, infoBytes).getUint32(idOffset, little);
}

/** Returns the number of a pinned program. @returns undefined if it is not there @throws BpfError */
export function pinnedProgramId(path: string): number | undefined {
  const descriptor = callUnless('ENOENT', `open ${path}`, (libbpf) => libbpf.bpf_obj_get(path));
  return descriptor === undefined ? undefined : withDescriptor(descriptor, programId);
}

/** Returns the name of a program, which takes CAP_SYS_ADMIN. @returns undefined if it has gone @throws BpfError */
export function programName(id: number): string | undefined {
  const descriptor = callUnless('ENOENT', `open program ${id}`, (libbpf) => libbpf.bpf_prog_get_fd_by_id(id));
  if (descriptor === undefined) return undefined;
  const { buffer } = withDescriptor(descriptor, (program) => readInfo(program, infoBytes));
  return new TextDecoder().decode(new Uint8Array(buffer, nameOffset, nameBytes)).replace(/\0.*/s, '');
}

/** Reports whether the kernel has a program of a name, which takes CAP_SYS_ADMIN. @throws BpfError */
export function isProgramLoaded(name: string): boolean {
  const next = new Uint32Array(1);
  for (let id = 0; ; id = next[0] ?? 0) {
    const last = id;
    const found = callUnless('ENOENT', 'list programs', (libbpf) => libbpf.bpf_prog_get_next_id(last, next));
    if (found === undefined) return false;
    if (programName(next[0] ?? 0) === name) return true;
  }
}
