import { setTimeout as sleep } from 'node:timers/promises';
import { requireRunning, startDaemon } from './daemon.ts';
import { ClusterError } from './error.ts';
import type { Kernel } from './kernel.ts';
import { nodeNetwork } from './network.ts';
import type { Run } from './run.ts';
import type { NamedProcess } from './state.ts';

/** What a node is started from. */
export interface NodeOptions {
  /** Counted from 1. */
  index: number;
  run: Run;
  kernel: Kernel;
  initramfs: string;
  /** The disk that is its root; never written to. */
  systemDisk: string;
  /** The disk that is its /var/lib/containerd; never written to. */
  imagesDisk: string;
  /** Tar file of writeSettings. */
  settings: string;
  logOf: (name: string) => string;
}

const MEMORY_MEBIBYTES = 1536;
const PROCESSORS = 2;
// x86-64-v2. What newer models add, such as fast string instructions, programs then use, and emulation makes it several times slower.
const PROCESSOR = 'Nehalem';

/** Starts the node's machine; it is on its way when this returns. */
export async function startNode(options: NodeOptions): Promise<NamedProcess> {
  const { name } = nodeNetwork(options.index);
  return startDaemon(name, 'qemu-system-x86_64', machine(options), {
    log: options.logOf(`${name}-qemu`),
    onStart: options.run.add,
  });
}

// Emulated (TCG), which is quick enough and runs everywhere; KVM would need hardware that a machine in a cloud rarely passes on.
function machine(options: NodeOptions): string[] {
  const { name, tap, mac } = nodeNetwork(options.index);
  const drive = (id: string, file: string, mode: string) => [
    ...['-drive', `file=${file},format=raw,if=none,id=${id},${mode}`],
    ...['-device', `virtio-blk-pci,drive=${id}`],
  ];
  // Writes go to an unnamed temporary file that ends with QEMU.
  const discard = 'snapshot=on,cache=unsafe';
  return [
    ...['-name', name, '-accel', 'tcg,thread=multi,tb-size=256', '-cpu', PROCESSOR, '-smp', String(PROCESSORS)],
    ...['-m', String(MEMORY_MEBIBYTES), '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-serial', `file:${options.logOf(`${name}-console`)}`],
    ...['-kernel', options.kernel.image, '-initrd', options.initramfs, '-append', bootOptions],
    ...drive('system', options.systemDisk, discard),
    ...drive('settings', options.settings, 'readonly=on'),
    ...drive('images', options.imagesDisk, discard),
    ...['-netdev', `tap,id=net,ifname=${tap},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net,mac=${mac}`, '-device', 'virtio-rng-pci'],
  ];
}

// Each of these either saves boot time or, for the clock, keeps an emulated processor from being called unreliable.
const bootOptions = [
  ...['console=ttyS0', 'quiet', 'panic=-1', 'net.ifnames=0', 'mitigations=off', 'audit=0', 'apparmor=0'],
  ...[
    'random.trust_cpu=on',
    'cryptomgr.notests',
    'no_timer_check',
    'tsc=reliable',
    'systemd.unified_cgroup_hierarchy=1',
  ],
].join(' ');

/** Asks `isReady` until it says so; throws a ClusterError if the machine ends or the time is over. */
export async function waitForNode(
  { index, logOf }: Pick<NodeOptions, 'index' | 'logOf'>,
  machineProcess: NamedProcess,
  isReady: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  const { name } = nodeNetwork(index);
  const deadline = performance.now() + 180_000;
  while (!(await isReady())) {
    signal.throwIfAborted();
    await requireRunning([machineProcess], () => logOf(`${name}-qemu`));
    if (performance.now() > deadline) {
      const log = logOf(`${name}-console`);
      throw new ClusterError('cluster/not-ready', 'the node does not get ready; its console says why.', {
        step: name,
        log,
      });
    }
    await sleep(200);
  }
}
