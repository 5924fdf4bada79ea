import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type CommandContext, runCommand } from '../process/command.ts';

/** An image of one layer. */
export interface ImageRecipe {
  /** Full name, for example `docker.io/library/busybox:1.36`. */
  name: string;
  /** Directory with the image's files. */
  tree: string;
  entrypoint?: readonly string[];
  command?: readonly string[];
  environment?: Record<string, string>;
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

/** Writes an image as an OCI image layout (image-spec 1.1) into a directory; containerd imports it under its name. */
export async function writeImage(context: CommandContext, recipe: ImageRecipe, layout: string): Promise<void> {
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const layer = await addLayer(context, layout, recipe.tree);
  const config = await addJson(layout, 'application/vnd.oci.image.config.v1+json', imageConfig(recipe, layer.digest));
  const manifest = await addJson(layout, 'application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers: [layer],
  });
  await writeIndex(layout, manifest, recipe.name);
}

/**
 * Makes an image layout out of a directory as buildah's `dir:` transport writes it: `manifest.json`, and every blob in a file
 * named by its digest. The files are moved.
 */
export async function adoptImage(from: string, layout: string, name: string): Promise<void> {
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const text = await readFile(join(from, 'manifest.json'), 'utf8');
  const { mediaType, config, layers }: { mediaType: string; config: Descriptor; layers: Descriptor[] } =
    JSON.parse(text);
  for (const digest of new Set([config, ...layers].map((descriptor) => descriptor.digest))) {
    const hex = digest.replace('sha256:', '');
    await rename(join(from, hex), join(layout, 'blobs/sha256', hex));
  }
  await writeIndex(layout, await addBlob(layout, mediaType, text), name);
}

async function writeIndex(layout: string, manifest: Descriptor, name: string): Promise<void> {
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...manifest, annotations: { 'io.containerd.image.name': name } }],
  };
  await writeFile(join(layout, 'index.json'), JSON.stringify(index));
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

function imageConfig({ entrypoint, command, environment = {} }: ImageRecipe, diffId: string): object {
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  return {
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: Object.entries({ PATH: path, ...environment }).map(([name, value]) => `${name}=${value}`),
      ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
      ...(command === undefined ? {} : { Cmd: command }),
    },
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created_by: 'podrate test cluster' }],
  };
}

// The same files give the same layer, whoever unpacked them and when.
const reproducible = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];

// Left uncompressed: nothing here travels over a slow line.
async function addLayer(context: CommandContext, layout: string, tree: string): Promise<Descriptor> {
  const draft = join(layout, 'layer.tar');
  await runCommand(context, 'tar', [...reproducible, '-cf', draft, '-C', tree, '.']);
  const hash = createHash('sha256');
  await pipeline(createReadStream(draft), hash);
  const hex = hash.digest('hex');
  const { size } = await stat(draft);
  await rename(draft, join(layout, 'blobs/sha256', hex));
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex}`, size };
}

async function addJson(layout: string, mediaType: string, value: object): Promise<Descriptor> {
  return addBlob(layout, mediaType, JSON.stringify(value));
}

async function addBlob(layout: string, mediaType: string, text: string): Promise<Descriptor> {
  const hex = createHash('sha256').update(text).digest('hex');
  await writeFile(join(layout, 'blobs/sha256', hex), text);
  return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
}
