import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from '../process/error.ts';
import { requireRunning, startDaemon } from '../run/daemon.ts';
import { nodeNetwork } from '../run/network.ts';
import type { Run } from '../run/run.ts';
import type { NamedProcess } from '../run/state.ts';
import type { Kernel } from './kernel.ts';
import { qemuArguments } from './qemu.ts';

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

/** Starts the node's machine; it is on its way when this returns. */
export async function startNode(options: NodeOptions): Promise<NamedProcess> {
  const { name } = nodeNetwork(options.index);
  return startDaemon(name, 'qemu-system-x86_64', machine(options), {
    log: options.logOf(`${name}-qemu`),
    onStart: options.run.add,
  });
}

function machine(options: NodeOptions): string[] {
  const { name, tap, mac } = nodeNetwork(options.index);
  return qemuArguments({
    ...{ name, kernel: options.kernel, initramfs: options.initramfs, memoryMebibytes: MEMORY_MEBIBYTES },
    bootOptions: ['systemd.unified_cgroup_hierarchy=1'],
    serials: [options.logOf(`${name}-console`)],
    drives: [
      { file: options.systemDisk, readonly: false },
      { file: options.settings, readonly: true },
      { file: options.imagesDisk, readonly: false },
    ],
    devices: [
      ...['-netdev', `tap,id=net,ifname=${tap},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=net,mac=${mac}`],
    ],
  });
}

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
