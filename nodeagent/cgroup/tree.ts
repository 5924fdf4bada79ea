/** Reads the cgroup tree. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cgroup, inode } from './cgroup.ts';
import { isPodTree, isQualityClass, podUidOf } from './names.ts';

/** The pods' part of the cgroup tree, at one moment. */
export interface PodCgroups {
  /** Cgroup by pod uid; static pods by their hash. */
  readonly byUid: ReadonlyMap<string, Cgroup>;
  /** Directories in which a new pod's directory, or a new tree of pods, appears. */
  readonly parents: readonly string[];
}

/** Reads the tree. */
export interface Cgroups {
  /**
   * Finds the pods' cgroups. Looking for the trees that hold them walks up to four levels of the whole tree, so it is done only if
   * none is known yet, if one went away, or on request; those right below the root are always found.
   */
  scan(options?: { searchTrees?: boolean }): Promise<PodCgroups>;
  /** Finds cgroups anywhere by their ids, by walking the tree. Those that do not exist are left out. */
  find(ids: ReadonlySet<bigint>): Promise<Map<bigint, Cgroup>>;
  /** Returns the directories of all cgroups, the root's first. */
  all(): Promise<string[]>;
}

const maxDepth = 4;

/**
 * Builds the reader.
 * @param root the directory below which kubelets' trees are looked for
 * @param mount where the cgroup2 tree begins
 */
export function createCgroups({ root, mount }: { root: string; mount: string }): Cgroups {
  let trees: readonly string[] = [];

  return {
    async scan({ searchTrees = false } = {}) {
      if (searchTrees || trees.length === 0) trees = await findTrees(root, maxDepth);
      else trees = [...new Set([...trees, ...(await findTrees(root, 1))])];
      const byUid = new Map<string, Cgroup>();
      const parents = [root];
      for (const tree of trees) {
        const names = await directories(tree);
        if (names === undefined) {
          trees = [];
          continue;
        }
        parents.push(tree);
        await addPods(byUid, tree, names);
        for (const name of names.filter(isQualityClass)) {
          const path = join(tree, name);
          const pods = await directories(path);
          if (pods === undefined) continue;
          parents.push(path);
          await addPods(byUid, path, pods);
        }
      }
      return { byUid, parents };
    },

    async find(ids) {
      const found = new Map<bigint, Cgroup>();
      if (ids.size === 0) return found;
      for (const path of await walk(mount)) {
        const id = inode(path);
        if (id !== undefined && ids.has(id)) found.set(id, { id, path });
      }
      return found;
    },

    all: () => walk(mount),
  };
}

async function walk(path: string): Promise<string[]> {
  const found = [path];
  for (const name of (await directories(path)) ?? []) found.push(...(await walk(join(path, name))));
  return found;
}

async function findTrees(path: string, depth: number): Promise<string[]> {
  const names = (await directories(path)) ?? [];
  const trees = names.filter(isPodTree).map((name) => join(path, name));
  if (depth === 1) return trees;
  for (const name of names.filter((candidate) => !isPodTree(candidate))) {
    trees.push(...(await findTrees(join(path, name), depth - 1)));
  }
  return trees;
}

async function addPods(byUid: Map<string, Cgroup>, parent: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const uid = podUidOf(name);
    if (uid === undefined) continue;
    const path = join(parent, name);
    const id = inode(path);
    // It may have vanished since the listing; that is how pods end.
    if (id !== undefined) byUid.set(uid, { id, path });
  }
}

/** The names of the directories in a directory; undefined if it does not exist. */
export async function directories(path: string): Promise<string[] | undefined> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENODEV: a cgroup that is just being removed.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENODEV') return undefined;
    throw error;
  }
}

/** Whether a process is in a cgroup or below it. @throws if it does not exist */
export async function isPopulated(path: string): Promise<boolean> {
  return (await readFile(join(path, 'cgroup.events'), 'utf8')).includes('populated 1');
}
