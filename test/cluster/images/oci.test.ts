import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adoptImage, writeImage } from './oci.ts';

let scratch: string;
let tree: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'podrate-oci-'));
  tree = join(scratch, 'tree');
  await mkdir(join(tree, 'bin'), { recursive: true });
  await writeFile(join(tree, 'bin/hello'), 'hello');
});

afterEach(() => rm(scratch, { recursive: true }));

const context = () => ({ step: 'test', log: join(scratch, 'log') });
const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
const readJson = async (file: string) => JSON.parse(await readFile(file, 'utf8'));
const blob = (layout: string, digest: string) => join(layout, 'blobs', digest.replace(':', '/'));

test('every blob of an image is named by its digest, and the index leads to the files', async () => {
  const layout = join(scratch, 'layout');
  await writeImage(context(), { name: 'localhost/hello:1', tree, entrypoint: ['/bin/hello'] }, layout);
  for (const name of await readdir(join(layout, 'blobs/sha256'))) {
    expect(sha256(await readFile(join(layout, 'blobs/sha256', name)))).toBe(name);
  }
  const [entry] = (await readJson(join(layout, 'index.json'))).manifests;
  expect(entry.annotations['io.containerd.image.name']).toBe('localhost/hello:1');
  const manifest = await readJson(blob(layout, entry.digest));
  const config = await readJson(blob(layout, manifest.config.digest));
  expect(config.config.Entrypoint).toEqual(['/bin/hello']);
  expect(config.rootfs.diff_ids).toEqual([manifest.layers[0].digest]);
  const { stdout } = await execa('tar', ['-xOf', blob(layout, manifest.layers[0].digest), './bin/hello']);
  expect(stdout).toBe('hello');
});

test('the same files at another time give the same image', async () => {
  const image = { name: 'localhost/hello:1', tree };
  await writeImage(context(), image, join(scratch, 'first'));
  await utimes(join(tree, 'bin/hello'), 1, 1);
  await writeImage(context(), image, join(scratch, 'second'));
  const index = (layout: string) => readFile(join(scratch, layout, 'index.json'), 'utf8');
  expect(await index('second')).toBe(await index('first'));
});

test('a directory of blobs as buildah writes it becomes a layout', async () => {
  const plain = join(scratch, 'plain');
  await mkdir(plain);
  const put = async (text: string) => {
    const hex = sha256(Buffer.from(text));
    await writeFile(join(plain, hex), text);
    return { mediaType: 'application/octet-stream', digest: `sha256:${hex}`, size: text.length };
  };
  const manifest = { mediaType: 'application/vnd.oci.image.manifest.v1+json', config: await put('{}'), layers: [] };
  await writeFile(join(plain, 'manifest.json'), JSON.stringify(manifest));
  const layout = join(scratch, 'layout');
  await adoptImage(plain, layout, 'localhost/adopted:1');
  const [entry] = (await readJson(join(layout, 'index.json'))).manifests;
  expect(entry.annotations['io.containerd.image.name']).toBe('localhost/adopted:1');
  expect(await readJson(blob(layout, entry.digest))).toEqual(manifest);
  expect(await readFile(blob(layout, manifest.config.digest), 'utf8')).toBe('{}');
});
