import { copyFile, mkdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../cluster/build/cache.ts';
import { writeExt4 } from '../cluster/machine/ext4.ts';
import { type CommandContext, runCommand } from '../cluster/process/command.ts';

/** Builds the root disk that all kernels share, of a Debian root file system and Node.js; returns the image file. */
export async function buildDisk(cache: Cache, rootfs: string, context: CommandContext): Promise<string> {
  const node = await realpath(join(import.meta.dirname, '../../node_modules/node/bin/node'));
  const { size, mtimeMs } = await stat(node);
  const { directory } = await cached(
    cache,
    'kernels-disk',
    [await sourceOf(import.meta.url), rootfs, `${node} ${size} ${mtimeMs}`],
    async (draft) => {
      const tree = join(draft, 'tree');
      await mkdir(tree);
      await runCommand(context, 'tar', ['-x', '--exclude=./dev/*', '-f', rootfs, '-C', tree]);
      await copyFile(node, join(tree, 'usr/local/bin/node'));
      await writeExt4(context, { tree, image: join(draft, 'disk.img'), size: '2G' });
      await rm(tree, { recursive: true });
    },
    context.signal,
  );
  return join(directory, 'disk.img');
}
