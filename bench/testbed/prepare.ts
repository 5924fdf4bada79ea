import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { defaultCache } from '../../test/cluster/build/config.ts';
import { installPackages } from '../../test/cluster/build/packages.ts';
import { findCgroup2 } from '../../test/lab/cgroups.ts';
import { refuseForeignPrograms } from './foreign-programs.ts';
import { buildBenchPrograms, type Programs } from './programs.ts';

/** Installs and builds the benchmark's tools and the shaper. @throws Error that names the missing part and the remedy */
export async function prepare(say: (line: string) => void): Promise<Programs> {
  if (process.getuid?.() !== 0) {
    throw new Error('The benchmark attaches BPF programs and makes network namespaces: run it as root.');
  }
  const context = { step: 'bench', log: join(tmpdir(), 'podrate-bench.log') };
  await installPackages(['kernel'], context, (text) => say(`packages: ${text}`));
  await refuseForeignPrograms(await findCgroup2());
  const bpf = new URL('../../bpf', import.meta.url).pathname;
  // Two runs may build the same object.
  await execa('flock', [bpf, 'make', '-C', bpf]);
  return buildBenchPrograms(defaultCache(), context);
}
