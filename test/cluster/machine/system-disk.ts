import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../build/cache.ts';
import { nativeNodePrograms } from '../build/native.ts';
import { networkPluginNames } from '../build/programs.ts';
import { type CommandContext, runCommand } from '../process/command.ts';
import type { Report } from '../process/progress.ts';
import { writeExt4 } from './ext4.ts';
import type { Kernel } from './kernel.ts';

/** What a node's system disk is made of. */
export interface SystemDiskParts {
  /** Tar file of the node's Debian. */
  rootfs: string;
  /** Directory with Kubernetes, containerd and the network plugins. */
  programs: string;
  /** Directory with the node's programs. */
  native: string;
  kernel: Kernel;
}

const nodePrograms = ['kubelet', 'kube-proxy', 'containerd', 'containerd-shim-runc-v2', 'ctr'];

/** Builds the disk that every node boots from and none writes to; returns the image file. */
export async function buildSystemDisk(
  cache: Cache,
  parts: SystemDiskParts,
  context: CommandContext,
  report: Report,
): Promise<string> {
  const files = await nodeFiles();
  const inputs = [parts.rootfs, parts.programs, parts.native, parts.kernel.directory, await sourceOf(import.meta.url)];
  const { directory } = await cached(
    cache,
    `system-disk-${parts.kernel.release}`,
    [...inputs, ...files.flatMap(({ path, text }) => [path, text])],
    async (draft) => {
      report("the node's system disk");
      const tree = join(draft, 'tree');
      await mkdir(tree);
      await runCommand(context, 'tar', ['-x', '--exclude=./dev/*', '-f', parts.rootfs, '-C', tree]);
      await copyPrograms(parts, tree);
      const modules = join(parts.kernel.modulesRoot, 'lib/modules');
      await cp(modules, join(tree, 'usr/lib/modules'), { recursive: true });
      await cp(join(import.meta.dirname, 'node-root'), tree, { recursive: true });
      await arrangeUnits(join(tree, 'etc/systemd/system'));
      await mkdir(join(tree, 'var/lib/containerd'), { recursive: true });
      await rm(join(tree, 'etc/machine-id'), { force: true });
      await writeExt4(context, { tree, image: join(draft, 'system.img'), size: '4G' });
      await rm(tree, { recursive: true });
    },
    context.signal,
  );
  return join(directory, 'system.img');
}

async function nodeFiles(): Promise<{ path: string; text: string }[]> {
  const root = join(import.meta.dirname, 'node-root');
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    paths.sort().map(async (path) => ({ path: path.slice(root.length), text: await readFile(path, 'utf8') })),
  );
}

async function copyPrograms({ programs, native }: SystemDiskParts, tree: string): Promise<void> {
  const put = async (file: string, to: string) => {
    await copyFile(file, to);
    await chmod(to, 0o755);
  };
  await mkdir(join(tree, 'opt/cni/bin'), { recursive: true });
  for (const name of nodePrograms) await put(join(programs, name), join(tree, 'usr/local/bin', name));
  for (const name of networkPluginNames) await put(join(programs, name), join(tree, 'opt/cni/bin', name));
  for (const name of nativeNodePrograms) {
    await put(join(native, name), join(tree, 'usr/local/bin', name));
  }
}

// Enables the node's units and masks what costs boot time here and serves nothing.
async function arrangeUnits(units: string): Promise<void> {
  await mkdir(join(units, 'multi-user.target.wants'), { recursive: true });
  for (const name of ['containerd', 'kubelet', 'kube-proxy', 'node-exec']) {
    await symlink(`../${name}.service`, join(units, 'multi-user.target.wants', `${name}.service`));
  }
  for (const name of masked) {
    await rm(join(units, name), { force: true });
    await symlink('/dev/null', join(units, name));
  }
}

const masked = [
  ...['getty@.service', 'serial-getty@.service', 'getty.target', 'systemd-logind.service', 'console-getty.service'],
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer', 'fstrim.timer'],
  ...['systemd-networkd.service', 'systemd-networkd.socket', 'systemd-resolved.service', 'systemd-timesyncd.service'],
  ...['systemd-journal-flush.service', 'systemd-binfmt.service', 'proc-sys-fs-binfmt_misc.automount'],
  ...['dev-hugepages.mount', 'dev-mqueue.mount', 'sys-kernel-debug.mount', 'systemd-random-seed.service'],
  ...['systemd-update-utmp.service', 'systemd-update-utmp-runlevel.service', 'systemd-machine-id-commit.service'],
  ...['e2scrub_reap.service', 'nftables.service', 'systemd-pcrphase.service', 'systemd-pcrphase-sysinit.service'],
  ...['systemd-fsck-root.service', 'systemd-remount-fs.service', 'keyboard-setup.service', 'console-setup.service'],
  // Compiles the profiles of programs such as tcpdump; containerd compiles its own.
  'apparmor.service',
];
