import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Cache, cached, sourceOf } from '../build/cache.ts';
import { type CommandContext, runCommand } from '../process/command.ts';
import type { Kernel } from './kernel.ts';

/** A first file system: the kernel modules that it loads, and what its first program does once they are loaded. */
export interface InitramfsRecipe {
  name: string;
  modules: readonly string[];
  /** Shell commands, run by busybox; they end with giving the machine to another program. */
  script: string;
}

/**
 * A node's: it unpacks this run's settings over the disk's root and goes on there. It also sets up the network card, as
 * systemd-networkd would take a second. Disks are mounted here because the node has no udev, which systemd would wait for. The
 * settings tar ends with zero blocks and the disk may be longer: tar stops at the first.
 */
export const nodeInitramfs: InitramfsRecipe = {
  name: 'initramfs',
  modules: ['virtio_pci', 'virtio_blk', 'ext4', 'virtio_net'],
  script: `until [ -b /dev/vdc ]; do busybox sleep 0.05; done
busybox mount -t ext4 -o noatime /dev/vda /root || exec busybox sh
busybox mount -t ext4 -o noatime /dev/vdc /root/var/lib/containerd
busybox tar -x -f /dev/vdb -C /root
busybox sh /root/etc/node-network.sh
busybox umount /proc /sys
busybox mount --move /dev /root/dev
exec busybox switch_root /root /lib/systemd/systemd
`,
};

/** Builds the first file system of the boot and returns its archive. */
export async function buildInitramfs(
  cache: Cache,
  recipe: InitramfsRecipe,
  kernel: Kernel,
  context: CommandContext,
): Promise<string> {
  const { directory } = await cached(
    cache,
    `${recipe.name}-${kernel.release}`,
    [await sourceOf(import.meta.url), JSON.stringify(recipe), kernel.directory],
    async (draft) => {
      const tree = join(draft, 'tree');
      for (const part of ['bin', 'dev', 'proc', 'sys', 'root', 'modules']) {
        await mkdir(join(tree, part), { recursive: true });
      }
      await copyFile('/bin/busybox', join(tree, 'bin/busybox'));
      const files = await moduleFiles(recipe.modules, kernel, context);
      for (const file of files) await copyFile(file, join(tree, 'modules', basename(file)));
      await writeFile(
        join(tree, 'init'),
        init(
          files.map((file) => basename(file)),
          recipe.script,
        ),
      );
      await chmod(join(tree, 'init'), 0o755);
      const pack = 'find . | cpio --quiet -o -H newc > ../initrd';
      await runCommand(context, 'sh', ['-c', pack], { cwd: tree });
      await rm(tree, { recursive: true });
    },
    context.signal,
  );
  return join(directory, 'initrd');
}

// In the order in which they must be loaded.
async function moduleFiles(
  modules: readonly string[],
  { modulesRoot, release }: Kernel,
  context: CommandContext,
): Promise<string[]> {
  const files = new Set<string>();
  for (const name of modules) {
    const text = await runCommand(context, 'modprobe', ['-d', modulesRoot, '-S', release, '--show-depends', name]);
    for (const [, file] of text.matchAll(/^insmod (\S+)/gm)) files.add(String(file));
  }
  return [...files];
}

function init(files: string[], script: string): string {
  return `#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
${files.map((file) => `busybox insmod /modules/${file}`).join('\n')}
${script}`;
}
