import { execa } from 'execa';

interface AttachedProgram {
  readonly name?: string;
  readonly attach_type: string;
}

/**
 * Refuses to measure where a program of an installed podrate acts on all connections of the machine, those of the benchmark too.
 *
 * @param root the root of the cgroup tree
 * @throws Error that names the program and says how to remove it
 */
export async function refuseForeignPrograms(root: string): Promise<void> {
  const { stdout } = await execa('bpftool', ['-j', 'cgroup', 'show', root]);
  const attached: AttachedProgram[] = stdout === '' ? [] : JSON.parse(stdout);
  const found = attached.find(({ name }) => name?.startsWith('podrate_'));
  if (found === undefined) return;
  throw new Error(
    `"${found.name}" of an installed podrate is attached at ${root} and would act on the benchmark's connections. ` +
      'Stop the agent of this node and run: npm run podrate -- uninstall',
  );
}
