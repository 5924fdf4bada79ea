/** How container runtimes name cgroups. */
import { isPodTree, isQualityClass, podUidOf } from '../../nodeagent/cgroup/names.ts';

/** The id that containerd, CRI-O, Docker and Podman make: 32 random bytes. */
const random = /^(?:(.+)-)?([0-9a-f]{64})(?:\.scope)?$/;
// systemd drivers: <runtime>-<id>.scope. A scope of another prefix, such as session-1.scope, is no container.
const scope = /^(?:runc|crun|docker|cri-containerd|nerdctl|crio|libpod|libpod-payload)-(.+)\.scope$/;
const unit = /\.(?:slice|scope|service|mount|socket|swap)$/;

/** The id of the container whose cgroup is named so; undefined if it can be the cgroup of none. */
export function containerIdOf(directory: string): string | undefined {
  const [, prefix = '', id] = random.exec(directory) ?? [];
  // conmon watches a container of CRI-O or Podman from outside: crio-conmon-<id>.scope.
  if (id !== undefined) return prefix.endsWith('conmon') ? undefined : id;
  const named = scope.exec(directory)?.[1];
  if (named !== undefined) return named;
  const isOther = unit.test(directory) || isPodTree(directory) || isQualityClass(directory) || podUidOf(directory);
  // Without systemd, runc and crun name it as the container.
  return isOther ? undefined : directory;
}

/** Whether an id is one that programs make: people abbreviate it, and nothing but a container is named so. */
export function isRandomId(id: string): boolean {
  return /^[0-9a-f]{64}$/.test(id);
}
