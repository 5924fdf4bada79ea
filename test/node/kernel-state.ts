import type { ClusterNode } from '../cluster/control-plane/access.ts';

/** How many limited cgroups podrate's own record on the node has. */
export async function podrateSlots(node: ClusterNode): Promise<number> {
  const { stdout } = await node.exec('bpftool -j map dump pinned /sys/fs/bpf/podrate/layout_*/maps/podrate_owners');
  return (JSON.parse(stdout) as unknown[]).length;
}

/** The ids of podrate's programs on the node, and of where they are attached: equal lists mean nothing was attached anew. */
export async function podratePrograms(node: ClusterNode): Promise<string[]> {
  const { stdout } = await node.exec('bpftool -j cgroup tree /sys/fs/cgroup');
  const cgroups = JSON.parse(stdout) as { cgroup: string; programs: { id: number; name: string }[] }[];
  return cgroups
    .flatMap(({ cgroup, programs }) => programs.map(({ id, name }) => ({ cgroup, id, name })))
    .filter(({ name }) => name.startsWith('podrate_'))
    .map(({ cgroup, id, name }) => `${cgroup} ${name} ${id}`)
    .toSorted();
}
