import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Cache, cached, sourceOf } from '../../test/cluster/build/cache.ts';
import { type CommandContext, runCommand } from '../../test/cluster/process/command.ts';

/** The programs that make and count traffic, and the plugin that podrate is compared with. */
export interface Programs {
  /** Directory of the static C programs. */
  readonly native: string;
  /** The CNI plugin `bandwidth`. */
  readonly plugin: string;
  /** Compiles a program of bpf/, with RATE defined if given, and returns the object's path. */
  compile(name: string, rate?: number): Promise<string>;
  /** Removes what compile() made. */
  close(): Promise<void>;
}

const nativePrograms = [
  'sink',
  'source',
  'ping',
  'flood',
  'raw-tcp',
  'request-server',
  'request-client',
  'datagram-source',
  'datagram-sink',
  'meter',
  'relay',
];
const headers = ['load.h', 'request.h', 'datagram.h'];
const pluginPackage = 'github.com/containernetworking/plugins/plugins/meta/bandwidth';
const here = (path: string) => join(import.meta.dirname, path);

/** Builds what is not in the cache yet: seconds with clang and Go. @throws ClusterError that names what is missing */
export async function buildBenchPrograms(cache: Cache, context: CommandContext): Promise<Programs> {
  const [native, plugin] = [await buildNativeLoad(cache, context), await buildPlugin(cache, context)];
  const objects = await mkdtemp(join(tmpdir(), 'podrate-bench-'));
  return {
    native,
    plugin,
    compile: (name, rate) => compile(objects, name, rate),
    close: () => rm(objects, { recursive: true, force: true }),
  };
}

async function buildNativeLoad(cache: Cache, context: CommandContext): Promise<string> {
  const files = [...nativePrograms.map((name) => `${name}.c`), ...headers];
  const texts = await Promise.all(files.map((name) => readFile(here(`native/${name}`), 'utf8')));
  const { directory } = await cached(
    cache,
    'bench-native',
    [...nativePrograms, ...texts],
    async (draft) => {
      for (const name of files) await copyFile(here(`native/${name}`), join(draft, name));
      for (const name of nativePrograms) {
        await runCommand(context, 'clang', ['-O2', '-static', '-s', '-Wall', '-o', name, `${name}.c`, '-lm'], {
          cwd: draft,
        });
      }
    },
    context.signal,
  );
  return directory;
}

/** Only this one module is fetched and built, which takes seconds where all of Kubernetes takes minutes. */
async function buildPlugin(cache: Cache, context: CommandContext): Promise<string> {
  const texts = await Promise.all(['go.mod', 'go.sum'].map((name) => readFile(here(`modules/${name}`), 'utf8')));
  const { directory } = await cached(
    cache,
    'bench-plugin',
    [...texts, await sourceOf(import.meta.url)],
    async (draft) => {
      await runCommand(context, 'go', ['build', '-o', `${draft}/`, '-trimpath', '-ldflags', '-s -w', pluginPackage], {
        cwd: here('modules'),
        env: { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false -mod=readonly', GOWORK: 'off' },
      });
    },
    context.signal,
  );
  return join(directory, 'bandwidth');
}

async function compile(directory: string, name: string, rate?: number): Promise<string> {
  const object = join(directory, `${name}${rate === undefined ? '' : `-${rate}`}.bpf.o`);
  const { stderr } = await execa('clang', ['-v', '-E', '-'], { input: '' });
  // clang's bpf target does not search the host's multiarch folder, where asm/types.h lives.
  const includes = [...stderr.matchAll(/^ (\/.*include.*)$/gm)].flatMap(([, path = '']) => ['-idirafter', path]);
  const define = rate === undefined ? [] : [`-DRATE=${rate}LL`];
  const flags = ['-g', '-O2', '-target', 'bpf', '-mcpu=v3', ...define, ...includes];
  await execa('clang', [...flags, '-c', here(`bpf/${name}.bpf.c`), '-o', object]);
  return object;
}
