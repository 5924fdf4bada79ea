/** Before Linux 5.11 BPF maps count as locked memory (RLIMIT_MEMLOCK), of which a process has 64 KB or some MB. */
import { readFile } from 'node:fs/promises';
import { release as kernelRelease } from 'node:os';
import { execa } from 'execa';
import { isLinuxBefore } from './linux-version.ts';

/**
 * Lets this process and what it starts lock as much memory as BPF needs, on kernels where that counts. bpftool does so
 * itself to load programs, but not to attach them, which makes a map for each cgroup. The bound stays without
 * CAP_SYS_RESOURCE, unless the hard limit is unlimited already, and without the program `prlimit` (util-linux).
 * @param release of the kernel, as uname prints it
 * @param run runs a command
 */
export async function unboundLockedMemory(
  release: string = kernelRelease(),
  run = (file: string, args: readonly string[]): Promise<unknown> => execa(file, args, { reject: false }),
): Promise<void> {
  if (!isLinuxBefore(release, 5, 11)) return;
  await run('prlimit', ['--pid', String(process.pid), '--memlock=unlimited:unlimited']);
}

/**
 * Returns how much memory this process may lock, in bytes; undefined if nothing bounds what BPF maps take.
 * @param release of the kernel, as uname prints it
 * @param limits reads the text of /proc/self/limits
 */
export async function lockedMemoryBound(
  release: string = kernelRelease(),
  limits = (): Promise<string> => readFile('/proc/self/limits', 'utf8'),
): Promise<number | undefined> {
  if (!isLinuxBefore(release, 5, 11)) return undefined;
  const [, soft] = /^Max locked memory +(\d+) /m.exec(await limits()) ?? [];
  return soft === undefined ? undefined : Number(soft);
}
