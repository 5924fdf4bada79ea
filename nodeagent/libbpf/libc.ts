/** The C library's functions for which Node.js has none. */
import koffi from 'koffi';

const declarations = {
  setns: 'int setns(int fd, int nstype)',
  unshare: 'int unshare(int flags)',
  setrlimit: 'int setrlimit(int resource, const void *limit)',
  socket: 'int socket(int family, int type, int protocol)',
  setsockopt: 'int setsockopt(int socket, int level, int option, const void *value, uint32_t size)',
  send: 'intptr_t send(int socket, const void *message, size_t size, int flags)',
  recv: 'intptr_t recv(int socket, void *message, size_t size, int flags)',
} as const;

/** The functions as C has them. They return -1 where they fail, and the reason is in `koffi.errno()`. */
export interface Libc {
  setns(descriptor: number, kind: number): number;
  unshare(kind: number): number;
  setrlimit(resource: number, limit: BigUint64Array): number;
  socket(family: number, type: number, protocol: number): number;
  setsockopt(socket: number, level: number, option: number, value: Uint32Array, size: number): number;
  send(socket: number, message: Uint8Array, size: number, flags: number): number;
  recv(socket: number, message: Uint8Array, size: number, flags: number): number;
}

let bound: Libc | undefined;

/** Returns the functions, bound at the first use. */
export function libc(): Libc {
  bound ??= bind();
  return bound;
}

function bind(): Libc {
  const library = koffi.load(null);
  const names = Object.keys(declarations) as (keyof Libc)[];
  return Object.fromEntries(names.map((name) => [name, library.func(declarations[name])])) as unknown as Libc;
}
