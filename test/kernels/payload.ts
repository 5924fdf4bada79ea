import { copyFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../cluster/build/cache.ts';
import { compileStatic } from '../cluster/build/native.ts';
import { copiedFiles } from '../cluster/images/product-image.ts';
import { type CommandContext, runCommand } from '../cluster/process/command.ts';

const root = join(import.meta.dirname, '../..');
const objects = ['shaper.bpf.o', 'adopt.bpf.o', 'dscp.bpf.o'];
const programs = ['sink', 'source'];

/** Packs what is tested, bundled and compiled as in the product's image, with the checks' programs; returns the tar file. */
export async function buildPayload(cache: Cache, context: CommandContext): Promise<string> {
  const native = { name: 'kernels-native', directory: join(import.meta.dirname, 'native'), programs };
  const traffic = await compileStatic(cache, native, context);
  const sources = (await copiedFiles(await readFile(join(root, 'Dockerfile'), 'utf8'))).filter((file) =>
    file.endsWith('.ts'),
  );
  const inputs = [...sources.map((file) => join(root, file)), ...objects.map((name) => join(root, 'bpf', name))];
  const checks = join(import.meta.dirname, 'guest/checks.sh');
  const { directory } = await cached(
    cache,
    'kernels-payload',
    [
      await sourceOf(import.meta.url),
      traffic,
      ...(await Promise.all([...inputs, checks].map((file) => readFile(file)))),
    ],
    async (draft) => {
      const tree = join(draft, 'tree');
      const bin = join(tree, 'usr/local/bin');
      await mkdir(bin, { recursive: true });
      await mkdir(join(tree, 'app/bpf'), { recursive: true });
      const { PATH = '' } = process.env;
      await runCommand(context, 'rolldown', ['--config', '--dir', join(tree, 'app')], {
        cwd: root,
        env: { PATH: `${join(root, 'node_modules/.bin')}:${PATH}` },
      });
      await copyFile(join(root, 'package.json'), join(tree, 'app/package.json'));
      for (const name of objects) await copyFile(join(root, 'bpf', name), join(tree, 'app/bpf', name));
      for (const name of programs) await cp(join(traffic, name), join(bin, name));
      const command = '#!/bin/sh\nexec node /app/cli/main.js "$@"\n';
      await writeFile(join(bin, 'podrate'), command, { mode: 0o755 });
      await copyFile(checks, join(tree, 'checks.sh'));
      await runCommand(context, 'tar', ['--owner=0', '--group=0', '-cf', join(draft, 'payload.tar'), '-C', tree, '.']);
      await rm(tree, { recursive: true });
    },
    context.signal,
  );
  return join(directory, 'payload.tar');
}
