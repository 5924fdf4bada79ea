import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from './cache.ts';
import { type CommandContext, runCommand } from './command.ts';
import { debianSources } from './debian.ts';
import type { Report } from './progress.ts';

/** A Debian root file system: its name in the cache, and what it holds beside the essential packages. */
export interface RootfsRecipe {
  name: string;
  packages: readonly string[];
  /** Shell commands that mmdebstrap runs in the end, with the tree's path as `$1`. */
  hooks?: readonly string[];
}

/**
 * The node's own system: what boots it, what kubelet and containerd call, and what lets tests look at the kernel. With the package
 * `apparmor`, containerd confines containers by its default profile, as on a node of Debian or Ubuntu.
 */
export const nodeRootfs: RootfsRecipe = {
  name: 'rootfs-node',
  packages: [
    ...['systemd-sysv', 'dbus', 'kmod', 'util-linux', 'mount', 'procps', 'busybox-static'],
    ...['runc', 'iptables', 'nftables', 'conntrack', 'ethtool', 'iproute2'],
    ...['libbpf1', 'bpftool', 'tcpdump', 'apparmor'],
  ],
};

/** Builds a Debian 12 root file system and returns it as a tar file. Nothing is kept that only a package manager needs. */
export async function buildRootfs(
  cache: Cache,
  recipe: RootfsRecipe,
  context: CommandContext,
  report: Report,
): Promise<string> {
  const { directory } = await cached(
    cache,
    recipe.name,
    [await sourceOf(import.meta.url), JSON.stringify(recipe)],
    async (draft) => {
      report('Debian root file system');
      const sources = join(draft, 'sources.list');
      await writeFile(sources, await debianSources('bookworm'));
      const args = [
        '--variant=minbase',
        '--format=tar',
        `--include=${recipe.packages.join(',')}`,
        ...unneeded.map((path) => `--dpkgopt=path-exclude=${path}`),
        ...(recipe.hooks ?? []).map((hook) => `--customize-hook=${hook}`),
      ];
      await runCommand(context, 'mmdebstrap', [...args, 'bookworm', join(draft, 'rootfs.tar'), sources], {
        isolated: true,
        onLine: (line) => {
          if (line.startsWith('I: ')) report(line.slice(3));
        },
      });
    },
    context.signal,
  );
  return join(directory, 'rootfs.tar');
}

const unneeded = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*', '/usr/share/info/*'];
