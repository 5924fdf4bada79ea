import { execa } from 'execa';

/** Mounts bpffs where pins live, which not every machine does by itself. Needs root. */
export async function mountBpffs(): Promise<void> {
  const { exitCode } = await execa('mountpoint', ['-q', '/sys/fs/bpf'], { reject: false });
  if (exitCode !== 0) await execa('mount', ['-t', 'bpf', 'bpf', '/sys/fs/bpf']);
}
