import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../build/cache.ts';
import type { CommandContext } from '../process/command.ts';
import type { Report } from '../process/progress.ts';
import type { Buildah } from './buildah.ts';

/** The product's image under containerd's full name; a manifest may say `podrate:0.1.0`. */
export const PRODUCT_IMAGE = 'docker.io/library/podrate:0.1.0';

const root = join(import.meta.dirname, '../../..');

/** Builds the repository's Dockerfile if anything that it copies has changed; returns the image's OCI layout. */
export async function buildProductImage(
  cache: Cache,
  openBase: () => Promise<Buildah>,
  context: CommandContext,
  report: Report,
): Promise<string> {
  const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8');
  const files = await copiedFiles(dockerfile);
  const contents = await Promise.all(files.map((file) => readFile(join(root, file))));
  const { directory } = await cached(
    cache,
    'image-podrate',
    [dockerfile, await sourceOf(import.meta.url), ...files.flatMap((file, i) => [file, contents[i] ?? ''])],
    async (draft) => {
      const buildah = await openBase();
      report("the product's image");
      await buildah.build(root, PRODUCT_IMAGE, (line) => {
        if (line.startsWith('STEP ')) report(line.slice(0, 80));
      });
      report("saving the product's image");
      await buildah.save(PRODUCT_IMAGE, join(draft, 'layout'));
    },
    context.signal,
  );
  return join(directory, 'layout');
}

/** The files below the repository's root that a Dockerfile copies from its context, sorted; objects are built in the image. */
export async function copiedFiles(dockerfile: string, directory = root): Promise<string[]> {
  const copies = dockerfile.split('\n').filter((line) => /^COPY (?!--from)/.test(line));
  const sources = copies.flatMap((line) => line.trim().split(/\s+/).slice(1, -1));
  const files: string[] = [];
  for (const source of new Set(sources)) {
    const info = await stat(join(directory, source));
    const names = info.isDirectory() ? await readdir(join(directory, source), { recursive: true }) : [''];
    for (const name of names) {
      const file = join(source, name);
      if (!file.endsWith('.o') && (await stat(join(directory, file))).isFile()) files.push(file);
    }
  }
  return files.sort();
}
