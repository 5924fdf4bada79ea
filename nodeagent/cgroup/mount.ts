/** Finds where cgroup v2 is mounted. */

/** A mounted cgroup2 tree, as /proc/self/mountinfo tells. */
export interface CgroupMount {
  /** Where it is mounted. */
  readonly path: string;
  /** Which part of the hierarchy it shows, seen from the reader's cgroup namespace: `/` is the namespace's root. */
  readonly root: string;
}

/**
 * Lists the cgroup2 mounts, best first: the last one mounted at a path hides those before it, and a mount that shows more than the
 * reader's own cgroup namespace (a root such as `/../..`, which a host directory given to a container has) shows the host's pods.
 */
export function cgroupMounts(mountinfo: string): CgroupMount[] {
  const byPath = new Map<string, CgroupMount>();
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root, path] = before.split(' ');
    if (root === undefined || path === undefined || after.split(' ')[0] !== 'cgroup2') continue;
    byPath.set(unescaped(path), { path: unescaped(path), root: unescaped(root) });
  }
  const height = (mount: CgroupMount) => mount.root.split('/').filter((part) => part === '..').length;
  const depth = (mount: CgroupMount) => mount.root.split('/').filter((part) => part !== '' && part !== '..').length;
  return [...byPath.values()].sort((one, other) => height(other) - height(one) || depth(one) - depth(other));
}

// The kernel writes space, tab, newline and backslash as octal escapes.
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
