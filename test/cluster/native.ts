import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, cached, sourceOf } from './cache.ts';
import { type CommandContext, runCommand } from './command.ts';

/** Those that go into a node's system disk. */
export const nativeNodePrograms = ['node-exec-server', 'tcp-counters', 'shaped-slices'];
const programs = ['pause', 'node-exec-client', ...nativeNodePrograms];

/** Compiles the few static C programs of native/ and returns their directory. */
export async function buildNative(cache: Cache, context: CommandContext): Promise<string> {
  const source = (name: string) => join(import.meta.dirname, 'native', name);
  const files = [...programs.map((name) => `${name}.c`), 'node-exec.h'];
  const texts = await Promise.all(files.map((name) => sourceOf(new URL(`native/${name}`, import.meta.url).href)));
  const { directory } = await cached(
    cache,
    'native',
    [await sourceOf(import.meta.url), ...texts],
    async (draft) => {
      for (const name of files) await copyFile(source(name), join(draft, name));
      for (const name of programs) {
        await runCommand(context, 'gcc', ['-O2', '-static', '-s', '-Wall', '-o', name, `${name}.c`], { cwd: draft });
      }
    },
    context.signal,
  );
  return directory;
}
