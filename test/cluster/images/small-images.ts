import { chmod, copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../build/cache.ts';
import { type CommandContext, runCommand } from '../process/command.ts';
import { writeImage } from './oci.ts';

/** Builds the image of the container that holds a pod's namespaces; returns its OCI layout. */
export async function buildPauseImage(cache: Cache, native: string, context: CommandContext): Promise<string> {
  return buildImage(cache, 'image-pause', [native], context, async (tree, layout) => {
    await copyFile(join(native, 'pause'), join(tree, 'pause'));
    await writeImage(context, { name: 'localhost/pause:1', tree, entrypoint: ['/pause'] }, layout);
  });
}

/** Builds `docker.io/library/busybox:1.36` from Debian's static busybox; returns its OCI layout. */
export async function buildBusyboxImage(cache: Cache, context: CommandContext): Promise<string> {
  const applets = await runCommand(context, '/bin/busybox', ['--list']);
  return buildImage(cache, 'image-busybox', [applets], context, async (tree, layout) => {
    for (const part of ['bin', 'etc', 'home', 'root', 'tmp', 'var/tmp', 'usr']) {
      await mkdir(join(tree, part), { recursive: true });
    }
    await copyFile('/bin/busybox', join(tree, 'bin/busybox'));
    for (const applet of applets.split('\n').filter((name) => name !== 'busybox')) {
      await symlink('busybox', join(tree, 'bin', applet));
    }
    await symlink('../bin', join(tree, 'usr/bin'));
    await symlink('bin', join(tree, 'sbin'));
    await chmod(join(tree, 'tmp'), 0o1777);
    await writeFile(
      join(tree, 'etc/passwd'),
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
    );
    await writeFile(join(tree, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
    await writeImage(context, { name: 'docker.io/library/busybox:1.36', tree, command: ['sh'] }, layout);
  });
}

async function buildImage(
  cache: Cache,
  name: string,
  inputs: string[],
  { signal }: CommandContext,
  write: (tree: string, layout: string) => Promise<void>,
): Promise<string> {
  const sources = [await sourceOf(import.meta.url), await sourceOf(new URL('oci.ts', import.meta.url).href)];
  const build = async (draft: string) => {
    const tree = join(draft, 'tree');
    await mkdir(tree);
    await write(tree, join(draft, 'layout'));
    await rm(tree, { recursive: true });
  };
  const { directory } = await cached(cache, name, [...inputs, ...sources], build, signal);
  return join(directory, 'layout');
}
