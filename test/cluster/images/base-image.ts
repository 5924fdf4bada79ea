import {
  appendFile,
  chmod,
  copyFile,
  cp,
  mkdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from '../build/cache.ts';
import { buildRootfs, type RootfsRecipe } from '../machine/rootfs.ts';
import { type CommandContext, runCommand } from '../process/command.ts';
import type { Report } from '../process/progress.ts';
import { type Buildah, openBuildah } from './buildah.ts';

/** The public image that the Dockerfile builds on, and that is made here instead of pulled. */
export const BASE_IMAGE = 'docker.io/library/node:24-bookworm-slim';

const NPM = 'npm@11';
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
const rootfs: RootfsRecipe = { name: 'rootfs-image', packages: ['ca-certificates'] };

/**
 * Makes a stand-in for the public Node.js image: Debian, the `node` program of this project's own npm package, npm. What this
 * machine needs to reach apt's and npm's registries (mirror, certificate authorities, npm's settings) goes in, so that the
 * Dockerfile needs to know nothing of it. Returns a buildah whose storage holds the image.
 */
export async function buildBaseImage(cache: Cache, context: CommandContext, report: Report): Promise<Buildah> {
  const debian = await buildRootfs(cache, rootfs, context, report);
  const node = await realpath(join(import.meta.dirname, '../../../node_modules/node/bin/node'));
  const npmrc = await npmSettings();
  const { size, mtimeMs } = await stat(node);
  const authorities = await readFile(CERTIFICATES).catch(() => Buffer.alloc(0));
  const sources = [await sourceOf(import.meta.url), await sourceOf(new URL('buildah.ts', import.meta.url).href)];
  const { directory } = await cached(
    cache,
    'buildah',
    [debian, `${node} ${size} ${mtimeMs}`, npmrc, authorities, ...sources],
    async (draft) => {
      report('the base image');
      const tree = join(draft, 'tree');
      await mkdir(tree);
      await runCommand(context, 'tar', ['-x', '--exclude=./dev/*', '-f', debian, '-C', tree]);
      await addNode(tree, node, context);
      await writeFile(join(tree, 'root/.npmrc'), npmrc);
      if (authorities.length > 0) await writeFile(join(tree, CERTIFICATES), authorities);
      await appendFile(
        join(tree, 'etc/apt/apt.conf.d/99cluster'),
        'Acquire::Retries "3";\nAPT::Sandbox::User "root";\n',
      );
      await (await openBuildah(join(draft, 'storage'), context)).commit(tree, BASE_IMAGE, ['node']);
      await rm(tree, { recursive: true });
    },
    context.signal,
  );
  return openBuildah(join(directory, 'storage'), context);
}

async function addNode(tree: string, node: string, context: CommandContext): Promise<void> {
  const prefix = join(tree, 'usr/local');
  await copyFile(node, join(prefix, 'bin/node'));
  await chmod(join(prefix, 'bin/node'), 0o755);
  const scratch = join(tree, 'npm-scratch');
  await mkdir(scratch);
  await runCommand(context, 'npm', [
    'install',
    '--prefix',
    scratch,
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    NPM,
  ]);
  await mkdir(join(prefix, 'lib/node_modules'), { recursive: true });
  await cp(join(scratch, 'node_modules/npm'), join(prefix, 'lib/node_modules/npm'), { recursive: true });
  await rm(scratch, { recursive: true });
  for (const name of ['npm', 'npx']) {
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(prefix, 'bin', name));
  }
}

// The lines of the user's npm settings that say where the registry is and how to get there.
async function npmSettings(): Promise<string> {
  const text = await readFile(join(homedir(), '.npmrc'), 'utf8').catch(() => '');
  const wanted = /^(registry|@[^:]+:registry|\/\/.*|proxy|https-proxy|noproxy|strict-ssl)\s*=/;
  const lines = text.split('\n').filter((line) => wanted.test(line.trim()));
  return [...lines, `cafile=${CERTIFICATES}`, 'audit=false', 'fund=false', 'update-notifier=false', ''].join('\n');
}
