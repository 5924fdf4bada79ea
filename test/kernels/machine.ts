import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cache } from '../cluster/build/cache.ts';
import { buildInitramfs, type InitramfsRecipe } from '../cluster/machine/initramfs.ts';
import { fetchKernel, type KernelVersion } from '../cluster/machine/kernel.ts';
import { qemuArguments } from '../cluster/machine/qemu.ts';
import { buildRootfs, nodeRootfs } from '../cluster/machine/rootfs.ts';
import { type CommandContext, runCommand } from '../cluster/process/command.ts';
import type { Report } from '../cluster/process/progress.ts';
import { buildDisk } from './disk.ts';
import { buildPayload } from './payload.ts';

/** Bytes per second of IP packets, both ways, that the checks limit the pod to. */
export const LIMIT = 2_000_000;

const MEMORY_MEBIBYTES = 768;

// The machine ends by restarting, which QEMU is told not to do. Its second serial port takes what the checks tell, unchanged.
const initramfs: InitramfsRecipe = {
  name: 'kernels-initramfs',
  modules: ['virtio_pci', 'virtio_blk', 'ext4', 'veth', 'sch_ingress', 'cls_bpf', 'sch_htb', 'sch_fq_codel', 'cls_u32'],
  script: `until [ -b /dev/vdb ]; do busybox sleep 0.05; done
busybox mount -t ext4 -o noatime /dev/vda /root
busybox tar -x -f /dev/vdb -C /root
for directory in proc sys dev; do busybox mount --move /$directory /root/$directory; done
busybox mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
busybox mount -t bpf bpf /root/sys/fs/bpf
busybox mount -t tmpfs run /root/run
busybox stty -F /root/dev/ttyS1 raw -echo
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export NODE_ENV=production NODE_COMPILE_CACHE=/run/compile-cache
/bin/busybox chroot /root /bin/bash /checks.sh ${LIMIT} > /root/dev/ttyS1
/bin/busybox reboot -f
`,
};

/** What runs in a machine of one kernel. */
export interface MachineParts {
  version: KernelVersion;
  disk: string;
  payload: string;
}

/** Builds what the machines of all kernels share. */
export async function buildMachine(
  cache: Cache,
  context: CommandContext,
  report: Report,
): Promise<Omit<MachineParts, 'version'>> {
  const rootfs = await buildRootfs(cache, nodeRootfs, context, report);
  return { disk: await buildDisk(cache, rootfs, context), payload: await buildPayload(cache, context) };
}

/** Boots a kernel, lets the checks run to their end, and returns what they told. Throws after five minutes. */
export async function runChecks(
  cache: Cache,
  { version, disk, payload }: MachineParts,
  context: CommandContext,
  report: Report,
): Promise<string> {
  const kernel = await fetchKernel(cache, version, context, report);
  const directory = await mkdtemp(join(tmpdir(), 'podrate-kernels-'));
  const [console, told] = [join(directory, 'console'), join(directory, 'told')];
  try {
    const options = qemuArguments({
      ...{ name: `linux-${version}`, memoryMebibytes: MEMORY_MEBIBYTES, kernel, serials: [console, told] },
      bootOptions: ['loglevel=5', 'softlockup_panic=1'],
      takeTurns: true,
      initramfs: await buildInitramfs(cache, initramfs, kernel, context),
      drives: [
        { file: disk, readonly: false },
        { file: payload, readonly: true },
      ],
    });
    const timeout = AbortSignal.timeout(300_000);
    await runCommand({ ...context, signal: timeout }, 'qemu-system-x86_64', options);
    const checks = await readFile(told, 'utf8');
    // A machine that panics restarts as one that is done does.
    if (!/^event \S+ end /m.test(checks)) throw new Error('the machine ended before its checks did');
    return checks;
  } catch (cause) {
    const text = await readFile(console, 'utf8').catch(() => '');
    const partial = await readFile(told, 'utf8').catch(() => '');
    // The first complaint is the cause, the rest its consequences.
    const complaint = Math.max(0, text.search(/BUG|Oops|panic|WARNING|stall/) - 200);
    const said = `${partial.slice(-1000)}\n${text.slice(complaint, complaint + 6000)}`;
    throw new Error(`Linux ${version} did not come to the end of its checks: ${said}`, { cause });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
