/** Calls libbpf's functions and turns their results into values and errors. */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { refused } from './error.ts';
import { type Libbpf, loadLibrary } from './library.ts';

/**
 * Calls a function that returns a file descriptor, another number of at least 0, or a negative errno.
 * @param what the call and what it was about, for the error
 * @throws BpfError
 */
export function call(what: string, run: (libbpf: Libbpf) => number): number {
  const result = run(loadLibrary().libbpf);
  if (result < 0) throw refused(what, -result);
  return result;
}

/** The same where a certain error number means that there is nothing. @returns undefined then */
export function callUnless(
  absent: 'ENOENT' | 'EEXIST',
  what: string,
  run: (libbpf: Libbpf) => number,
): number | undefined {
  const result = run(loadLibrary().libbpf);
  if (result >= 0) return result;
  if (-result === constants.errno[absent]) return undefined;
  throw refused(what, -result);
}

/** Uses a file descriptor and closes it. */
export function withDescriptor<T>(descriptor: number, use: (descriptor: number) => T): T {
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Opens what is pinned. @returns its file descriptor @throws BpfError `ENOENT` if nothing is */
export function openPin(path: string): number {
  return call(`open ${path}`, (libbpf) => libbpf.bpf_obj_get(path));
}

/** Pins what a file descriptor stands for. @throws BpfError `EEXIST` if something is pinned there */
export function pin(descriptor: number, path: string): void {
  call(`pin ${path}`, (libbpf) => libbpf.bpf_obj_pin(descriptor, path));
}

/**
 * Reads the kernel's information about an object.
 * @param size bytes of the structure that are wanted; those that the kernel does not know stay zero
 * @throws BpfError
 */
export function readInfo(descriptor: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  call('read an object', (libbpf) => libbpf.bpf_obj_get_info_by_fd(descriptor, bytes, Uint32Array.of(size)));
  return new DataView(bytes.buffer);
}
