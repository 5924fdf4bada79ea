import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../build/cache.ts';
import { openApt, type Suite } from '../build/debian.ts';
import { type CommandContext, runCommand } from '../process/command.ts';
import type { Report } from '../process/progress.ts';

/** The Linux versions that a node can run: the cloud kernel of a Debian release, or of its backports. */
export type KernelVersion = '5.10' | '6.1' | '6.12';

const suites: Record<KernelVersion, Suite> = { '5.10': 'bullseye', '6.1': 'bookworm', '6.12': 'trixie' };

/** A kernel ready to boot. */
export interface Kernel {
  /** The cache directory with all of it, part of the identity of what is built from it. */
  directory: string;
  /** File name of the bootable image. */
  image: string;
  /** Directory that holds `lib/modules/<release>`. */
  modulesRoot: string;
  /** As `uname -r` tells it. */
  release: string;
}

/** Fetches Debian's cloud kernel and unpacks it. */
export async function fetchKernel(
  cache: Cache,
  version: KernelVersion,
  context: CommandContext,
  report: Report,
): Promise<Kernel> {
  const { directory } = await cached(
    cache,
    `kernel-${version}`,
    [await sourceOf(import.meta.url), version],
    async (draft) => {
      report(`fetching Linux ${version}`);
      const lists = join(draft, 'apt');
      const apt = await openApt(suites[version], lists, context);
      const names = await apt.dependencies('linux-image-cloud-amd64');
      await apt.unpack(
        names.filter((name) => name.startsWith('linux-image-')),
        draft,
      );
      await rm(lists, { recursive: true });
      // From Debian 13 on the package has its modules where /lib leads to.
      await mergeUsr(draft);
      const [release = ''] = await readdir(join(draft, 'lib/modules'));
      await dropUnused(join(draft, 'lib/modules', release, 'kernel'));
      // The initramfs' insmod takes none that is compressed.
      const unpackModules = "find lib/modules -name '*.ko.xz' -exec xz --decompress {} +";
      await runCommand(context, 'sh', ['-c', unpackModules], { cwd: draft });
      await runCommand(context, 'depmod', ['-b', draft, release]);
      await rename(join(draft, 'boot', `vmlinuz-${release}`), join(draft, 'vmlinuz'));
    },
    context.signal,
  );
  const [release = ''] = await readdir(join(directory, 'lib/modules'));
  return { directory, image: join(directory, 'vmlinuz'), modulesRoot: directory, release };
}

async function mergeUsr(tree: string): Promise<void> {
  const merged = join(tree, 'usr/lib/modules');
  if (!existsSync(merged)) return;
  await mkdir(join(tree, 'lib'), { recursive: true });
  await rename(merged, join(tree, 'lib/modules'));
}

// Half of the modules drive hardware and file systems that the node's machine does not have.
async function dropUnused(kernel: string): Promise<void> {
  const keptDrivers = ['block', 'char', 'net', 'virtio', 'crypto'];
  for (const name of await readdir(join(kernel, 'drivers'))) {
    if (!keptDrivers.includes(name)) await rm(join(kernel, 'drivers', name), { recursive: true });
  }
  const keptFileSystems = ['ext4', 'jbd2', 'mbcache.ko', 'overlayfs', 'fuse', 'configfs', 'binfmt_misc.ko'];
  for (const name of await readdir(join(kernel, 'fs'))) {
    if (!keptFileSystems.some((kept) => name.startsWith(kept))) await rm(join(kernel, 'fs', name), { recursive: true });
  }
}
