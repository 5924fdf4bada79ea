import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../../../test/cluster/build/cache.ts';
import { type CommandContext, runCommand } from '../../../test/cluster/process/command.ts';

/** Builds the Go webhook if that was not done yet, a minute or two on two cores. @returns its path @throws ClusterError without Go */
export async function buildPeer(cache: Cache, context: CommandContext): Promise<string> {
  const folder = join(import.meta.dirname, 'peer');
  const texts = await Promise.all(['go.mod', 'go.sum', 'main.go'].map((name) => readFile(join(folder, name), 'utf8')));
  const { directory } = await cached(
    cache,
    'bench-webhook-peer',
    [...texts, await sourceOf(import.meta.url)],
    async (draft) => {
      await runCommand(context, 'go', ['build', '-o', join(draft, 'peer'), '-trimpath', '-ldflags', '-s -w', '.'], {
        cwd: folder,
        env: { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false -mod=readonly', GOWORK: 'off' },
      });
    },
    context.signal,
  );
  return join(directory, 'peer');
}
