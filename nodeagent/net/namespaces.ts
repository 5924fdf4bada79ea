/** Finds network namespaces by the files that stand for them. */
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';

/** A network namespace. */
export interface NetworkNamespace {
  /** A file that stands for it, such as /run/netns/NAME or /proc/PID/ns/net. */
  readonly file: string;
  /** Its inode number, which tells namespaces of one moment apart; a later one may get the same. */
  readonly id: bigint;
}

// Magic number of include/uapi/linux/magic.h: a namespace, and not a file that one was mounted on.
const nsfsMagic = 0x6e736673n;

/** The namespaces that are mounted in a directory, as container runtimes and `ip netns` do it. None if there is no such directory. */
export async function mountedNamespaces(directory: string): Promise<NetworkNamespace[]> {
  const names = await readdir(directory).catch(() => []);
  return existing(names.map((name) => join(directory, name)));
}

/** The namespaces of processes, by their numbers. Of processes that end meanwhile there is none. */
export async function namespacesOfProcesses(pids: readonly (string | number)[]): Promise<NetworkNamespace[]> {
  return existing(pids.map((pid) => `/proc/${pid}/ns/net`));
}

/** All namespaces that a machine's processes are in, as far as this process sees them. */
export async function namespacesOfMachine(): Promise<NetworkNamespace[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return namespacesOfProcesses(pids);
}

/** Leaves each namespace once, and what is none out. */
async function existing(files: readonly string[]): Promise<NetworkNamespace[]> {
  const found = new Map<bigint, NetworkNamespace>();
  for (const file of files) {
    try {
      const { ino: id } = await stat(file, { bigint: true });
      if (found.has(id) || (await statfs(file, { bigint: true })).type !== nsfsMagic) continue;
      found.set(id, { file, id });
    } catch {
      // It has gone since the listing.
    }
  }
  return [...found.values()];
}
