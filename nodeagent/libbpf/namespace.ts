/** Enters network namespaces, which takes CAP_SYS_ADMIN. */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { refused } from './error.ts';

/** CLONE_NEWNET of include/uapi/linux/sched.h. */
const networkNamespace = 0x4000_0000;

/**
 * Does something in a network namespace, and comes back. A namespace belongs to a thread, and nothing else runs on this
 * one meanwhile.
 * @param file such as /run/netns/NAME or /proc/PID/ns/net
 * @param use must not wait for anything
 * @returns undefined if the namespace has vanished
 * @throws BpfError if it cannot be entered
 */
export function inNetworkNamespace<T>(file: string, use: () => T): T | undefined {
  const own = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const other = open(file);
    if (other === undefined) return undefined;
    try {
      // What is no namespace (any more): a file on which one was mounted.
      if (!enter(other, file)) return undefined;
      try {
        return use();
      } finally {
        // Nothing that this process does is right in another one's network.
        if (!enter(own, 'its own network namespace')) process.abort();
      }
    } finally {
      closeSync(other);
    }
  } finally {
    closeSync(own);
  }
}

function open(file: string): number | undefined {
  try {
    return openSync(file, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

let bound: ((descriptor: number, kind: number) => number) | undefined;

/** @returns false if the file is no network namespace */
function enter(descriptor: number, what: string): boolean {
  bound ??= koffi.load(null).func('int setns(int fd, int nstype)');
  if (bound(descriptor, networkNamespace) === 0) return true;
  const error = refused(`enter ${what}`, koffi.errno());
  if (error.errno === 'EINVAL') return false;
  throw error;
}
