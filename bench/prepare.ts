import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { defaultCache } from '../test/cluster/config.ts';
import { installPackages } from '../test/cluster/packages.ts';
import { buildBenchPrograms, type Programs } from './programs.ts';

/** Installs and builds what the benchmark needs, the shaper included. @throws Error that says what is missing and what to do */
export async function prepare(say: (line: string) => void): Promise<Programs> {
  if (process.getuid?.() !== 0) {
    throw new Error('The benchmark attaches BPF programs and makes network namespaces: run it as root.');
  }
  const context = { step: 'bench', log: join(tmpdir(), 'podrate-bench.log') };
  await installPackages(['kernel'], context, (text) => say(`packages: ${text}`));
  const bpf = new URL('../bpf', import.meta.url).pathname;
  // Two runs may build the same object.
  await execa('flock', [bpf, 'make', '-C', bpf]);
  return buildBenchPrograms(defaultCache(), context);
}
