/** Before Linux 5.11 BPF maps count as locked memory (RLIMIT_MEMLOCK), of which a process has 64 KB or some MB. */
import { readFile } from 'node:fs/promises';
import { release as kernelRelease } from 'node:os';
import { isLinuxBefore } from '../base/linux-version.ts';
import { libc } from './libc.ts';

/** RLIMIT_MEMLOCK, and RLIM_INFINITY as both halves of a struct rlimit. */
const lockedMemory = 8;
const unlimited = BigUint64Array.of(2n ** 64n - 1n, 2n ** 64n - 1n);

/**
 * Lets this process lock as much memory as BPF needs, on kernels where that counts. libbpf does so itself to load
 * programs, but not to attach them, which takes memory for each cgroup. The bound stays without CAP_SYS_RESOURCE, unless
 * the hard limit is unlimited already.
 * @param release of the kernel, as uname prints it
 * @param raise sets the limit
 */
export function unboundLockedMemory(release: string = kernelRelease(), raise: () => void = raiseLimit): void {
  if (isLinuxBefore(release, 5, 11)) raise();
}

function raiseLimit(): void {
  libc().setrlimit(lockedMemory, unlimited);
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
