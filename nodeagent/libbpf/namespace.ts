/** Enters network namespaces, which takes CAP_SYS_ADMIN. */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { refused } from './error.ts';
import { libc } from './libc.ts';

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
  const other = open(file);
  if (other === undefined) return undefined;
  try {
    // What is no namespace (any more): a file on which one was mounted.
    return elsewhere(() => libc().setns(other, networkNamespace), file, use);
  } finally {
    closeSync(other);
  }
}

/** The same in a new network namespace, which ends then. @throws BpfError if there can be none */
export function inNewNetworkNamespace<T>(use: () => T): T | undefined {
  return elsewhere(() => libc().unshare(networkNamespace), 'a new network namespace', use);
}

/** @returns undefined if `enter` says that there is no such namespace */
function elsewhere<T>(enter: () => number, what: string, use: () => T): T | undefined {
  const own = openSync('/proc/thread-self/ns/net', 'r');
  try {
    if (enter() !== 0) {
      const error = refused(`enter ${what}`, koffi.errno());
      if (error.errno === 'EINVAL') return undefined;
      throw error;
    }
    try {
      return use();
    } finally {
      // Nothing that this process does is right in another one's network.
      if (libc().setns(own, networkNamespace) !== 0) process.abort();
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
