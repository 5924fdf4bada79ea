/**
 * Before Linux 5.11 BPF maps count as locked memory (RLIMIT_MEMLOCK), of which a process has 64 KB or some MB. libbpf
 * lifts this process's bound with the first map that it makes, as preflight does; without CAP_SYS_RESOURCE the bound
 * stays, unless the hard limit is unlimited already.
 */
import { readFileSync } from 'node:fs';
import { isLinuxBefore } from '../base/linux-version.ts';

/**
 * Returns how much memory this process may lock, in bytes; undefined if nothing bounds what BPF maps take.
 * @param release of the kernel, as uname prints it
 * @param limits reads the text of /proc/self/limits
 */
export function lockedMemoryBound(
  release: string,
  limits = () => readFileSync('/proc/self/limits', 'utf8'),
): number | undefined {
  if (!isLinuxBefore(release, 5, 11)) return undefined;
  const [, soft] = /^Max locked memory +(\d+) /m.exec(limits()) ?? [];
  return soft === undefined ? undefined : Number(soft);
}
