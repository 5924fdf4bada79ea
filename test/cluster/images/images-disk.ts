import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf, withLock } from '../build/cache.ts';
import { writeExt4 } from '../machine/ext4.ts';
import { type CommandContext, runCommand } from '../process/command.ts';
import { ClusterError } from '../process/error.ts';
import type { Report } from '../process/progress.ts';

/**
 * Builds the disk that is a node's /var/lib/containerd: the images, imported and unpacked natively by the same containerd that
 * the node runs, so that the (emulated) node has nothing to do. Returns the image file.
 * `images` are directories with an OCI image layout, or tar files with an OCI or docker layout.
 */
export async function buildImagesDisk(
  cache: Cache,
  { programs, images }: { programs: string; images: readonly string[] },
  context: CommandContext,
  report: Report,
): Promise<string> {
  const script = new URL('../build/native/import-images.sh', import.meta.url).href;
  const sources = [await sourceOf(import.meta.url), await sourceOf(script)];
  // Images are imported into the same store again and again, so that only changed layers cost anything.
  const store = await cached(cache, 'image-store', [programs, ...sources], async () => {}, context.signal);
  const { directory } = await cached(
    cache,
    'images-disk',
    [programs, ...sources, ...(await Promise.all(images.map(identity)))],
    (draft) =>
      withLock(
        join(store.directory, 'lock'),
        async () => {
          report('importing the images');
          const tree = join(store.directory, 'tree');
          await importImages(tree, { programs, images }, context);
          report("the node's disk of images");
          await writeExt4(context, { tree, image: join(draft, 'images.img'), size: '4G' });
        },
        context.signal,
      ),
    context.signal,
  );
  return join(directory, 'images.img');
}

async function identity(image: string): Promise<string> {
  const { size, mtimeMs } = await stat(image);
  return `${image} ${size} ${mtimeMs}`;
}

async function importImages(
  tree: string,
  { programs, images }: { programs: string; images: readonly string[] },
  context: CommandContext,
): Promise<void> {
  const script = join(import.meta.dirname, '../build/native/import-images.sh');
  const run = async () => {
    await mkdir(tree, { recursive: true });
    await runCommand(context, 'bash', [script, programs, tree, ...images], { isolated: true });
  };
  await run().catch(async (error) => {
    if (error instanceof ClusterError && error.code === 'cluster/cancelled') throw error;
    // An import that was killed may have left a store that containerd does not like: once more, from nothing.
    await rm(tree, { recursive: true, force: true });
    await run();
  });
}
