import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandContext, runCommand } from '../process/command.ts';
import { type Cache, cached, sourceOf } from './cache.ts';

/** Those that go into a node's system disk. */
export const nativeNodePrograms = ['node-exec-server', 'tcp-counters', 'shaped-slices'];
const programs = ['pause', 'node-exec-client', ...nativeNodePrograms];

/** Compiles the few static C programs of native/ and returns their directory. */
export function buildNative(cache: Cache, context: CommandContext): Promise<string> {
  const directory = join(import.meta.dirname, 'native');
  return compileStatic(cache, { name: 'native', directory, programs, headers: ['node-exec.h'] }, context);
}

/** Compiles `<program>.c` of a directory, each to a static program, and returns the directory of these. */
export async function compileStatic(
  cache: Cache,
  sources: { name: string; directory: string; programs: readonly string[]; headers?: readonly string[] },
  context: CommandContext,
): Promise<string> {
  const { name, programs, headers = [] } = sources;
  const files = [...programs.map((program) => `${program}.c`), ...headers];
  const source = (file: string) => join(sources.directory, file);
  const texts = await Promise.all(files.map((file) => readFile(source(file), 'utf8')));
  const { directory } = await cached(
    cache,
    name,
    [await sourceOf(import.meta.url), ...texts],
    async (draft) => {
      for (const file of files) await copyFile(source(file), join(draft, file));
      for (const program of programs) {
        const options = ['-O2', '-static', '-s', '-Wall', '-o', program, `${program}.c`];
        await runCommand(context, 'gcc', options, { cwd: draft });
      }
    },
    context.signal,
  );
  return directory;
}
