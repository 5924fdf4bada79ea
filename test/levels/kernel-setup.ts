import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { installPackages } from '../cluster/build/packages.ts';
import { mountBpffs } from '../lab/bpffs.ts';

/**
 * What the levels that touch the kernel need before their first test: Debian's packages, the compiled shaper, and bpffs.
 * Vitest runs it once per project.
 *
 * @throws Error when this is not root: those tests cannot pass, and must not be skipped.
 */
export async function setup(): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error('These tests attach BPF programs and make network namespaces: run them as root.');
  }
  const context = { step: 'packages', log: join(tmpdir(), 'podrate-test-packages.log') };
  await installPackages(['kernel', 'controlplane'], context, (text) => console.log(`packages: ${text}`));
  const bpf = new URL('../../bpf', import.meta.url).pathname;
  // Levels that run side by side build the same object.
  await execa('flock', [bpf, 'make', '-C', bpf], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await mountBpffs();
}
