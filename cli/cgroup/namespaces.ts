/** Network namespaces of cgroups. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { directories } from '../../nodeagent/cgroup/tree.ts';
import { type NetworkNamespace, namespacesOfProcesses } from '../../nodeagent/net/namespaces.ts';

/** The network namespaces of the processes in a cgroup and below it. Those of processes that end meanwhile are left out. */
export async function networkNamespaces(path: string): Promise<NetworkNamespace[]> {
  const found: string[] = [];
  const visit = async (directory: string): Promise<void> => {
    const pids = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
    found.push(...pids.split('\n').filter(Boolean));
    for (const name of (await directories(directory)) ?? []) await visit(join(directory, name));
  };
  await visit(path);
  return namespacesOfProcesses(found);
}
