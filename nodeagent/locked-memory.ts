/** Before Linux 5.11 BPF maps count as locked memory (RLIMIT_MEMLOCK), of which a process has 64 KB or some MB. */
import { release as kernelRelease } from 'node:os';
import { execa } from 'execa';
import { isLinuxBefore } from './linux-version.ts';

/**
 * Lets this process and what it starts lock as much memory as BPF needs, on kernels where that counts. bpftool does so itself to
 * load programs, but not to attach them, which makes a map for each cgroup. Without the program `prlimit` (util-linux) the bound
 * stays, and the kernel says "failed to attach program".
 * @param release of the kernel, as uname tells it
 * @param run runs a command
 */
export async function unboundLockedMemory(
  release: string = kernelRelease(),
  run = (file: string, args: readonly string[]): Promise<unknown> => execa(file, args, { reject: false }),
): Promise<void> {
  if (!isLinuxBefore(release, 5, 11)) return;
  await run('prlimit', ['--pid', String(process.pid), '--memlock=unlimited:unlimited']);
}
