import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cache, cached, sourceOf } from './cache.ts';
import { type CommandContext, runCommand } from './command.ts';
import { ClusterError } from './error.ts';
import { writeExt4 } from './ext4.ts';
import type { Report } from './progress.ts';

/**
 * Builds the disk that is a node's /var/lib/containerd: the images, imported and unpacked natively by the same containerd that
 * the node runs, so that the (emulated) node has nothing to do. Returns the image file.
 * `archives` are tar files with an OCI or docker layout; they must lie in the cache, as their path stands for their content.
 */
export async function buildImagesDisk(
  cache: Cache,
  { programs, archives }: { programs: string; archives: readonly string[] },
  context: CommandContext,
  report: Report,
): Promise<string> {
  const { directory } = await cached(
    cache,
    'images-disk',
    [programs, await sourceOf(import.meta.url), ...(await Promise.all(archives.map(identity)))],
    async (draft) => {
      const tree = join(draft, 'tree');
      await importImages(draft, tree, { programs, archives }, context, report);
      report("the node's disk of images");
      await writeExt4(context, { tree, image: join(draft, 'images.img'), size: '4G' });
      await rm(tree, { recursive: true });
    },
    context.signal,
  );
  return join(directory, 'images.img');
}

async function identity(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return `${basename(dirname(file))}/${basename(file)} ${size} ${mtimeMs}`;
}

async function importImages(
  draft: string,
  tree: string,
  { programs, archives }: { programs: string; archives: readonly string[] },
  context: CommandContext,
  report: Report,
): Promise<void> {
  const scratch = join(draft, 'containerd');
  await mkdir(scratch);
  const socket = join(scratch, 'socket');
  await writeFile(join(scratch, 'config.toml'), configuration(tree, scratch, socket));
  const log = openSync(context.log, 'a');
  const containerd = spawn(join(programs, 'containerd'), ['--config', join(scratch, 'config.toml')], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  try {
    const ctr = (args: string[]) => runCommand(context, join(programs, 'ctr'), ['-a', socket, '-n', 'k8s.io', ...args]);
    await waitForAnswer(ctr, context);
    for (const file of archives) {
      report(`importing ${basename(dirname(file))}`);
      await ctr(['images', 'import', '--platform', 'linux/amd64', file]);
    }
  } finally {
    if (containerd.exitCode === null && containerd.kill('SIGTERM')) await once(containerd, 'exit');
    await rm(scratch, { recursive: true, force: true });
  }
}

// The plugins left out look after containers, and the one for CRI would want a network.
function configuration(root: string, state: string, socket: string): string {
  return `version = 3
root = '${root}'
state = '${state}'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime',
  'io.containerd.podsandbox.controller.v1.podsandbox', 'io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing', 'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.native']
[grpc]
  address = '${socket}'
[ttrpc]
  address = '${socket}.ttrpc'
`;
}

async function waitForAnswer(ctr: (args: string[]) => Promise<string>, { step, log, signal }: CommandContext) {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      return await ctr(['version']);
    } catch (cause) {
      signal?.throwIfAborted();
      if (performance.now() > deadline) {
        throw new ClusterError('cluster/step-failed', 'containerd did not start.', { step, log, cause });
      }
      await sleep(100);
    }
  }
}
