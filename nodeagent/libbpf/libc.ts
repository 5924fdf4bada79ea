/** The C library's functions for which Node.js has none. */
import koffi from 'koffi';
import { bind, type Functions } from './native.ts';

const declarations = {
  setns: 'int setns(int fd, int nstype)',
  unshare: 'int unshare(int flags)',
  socket: 'int socket(int family, int type, int protocol)',
  setsockopt: 'int setsockopt(int socket, int level, int option, const void *value, uint32_t size)',
  send: 'intptr_t send(int socket, const void *message, size_t size, int flags)',
  recv: 'intptr_t recv(int socket, void *message, size_t size, int flags)',
} as const;

let bound: Functions<typeof declarations> | undefined;

/** Returns the functions as C has them. They return -1 where they fail, and the reason is in `koffi.errno()`. */
export function libc(): Functions<typeof declarations> {
  bound ??= bind(koffi.load(null), declarations);
  return bound;
}
