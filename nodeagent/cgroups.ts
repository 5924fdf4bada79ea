/** Reads the cgroup tree. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isPodTree, isQualityClass, podUidOf } from './cgroup-names.ts';
import type { Cgroup } from './state.ts';

/** The pods' part of the cgroup tree, at one moment. */
export interface PodCgroups {
  /** Cgroup by pod uid; static pods by their hash. */
  readonly byUid: ReadonlyMap<string, Cgroup>;
  /** Directories in which a new pod's directory, or a new tree of pods, appears. */
  readonly parents: readonly string[];
}

/** The two questions that the tree can answer. */
export interface Cgroups {
  /**
   * Finds the pods' cgroups. Looking for the trees that hold them walks up to four levels of the whole tree, so it is done only if
   * none is known yet, if one went away, or on request; those right below the root are always found.
   */
  scan(options?: { searchTrees?: boolean }): Promise<PodCgroups>;
  /** Finds cgroups anywhere by their ids, by walking the tree. Those that do not exist are left out. */
  find(ids: ReadonlySet<bigint>): Promise<Map<bigint, Cgroup>>;
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
      const walk = async (path: string): Promise<void> => {
        if (found.size === ids.size) return;
        const id = await inode(path);
        if (id !== undefined && ids.has(id)) found.set(id, { id, path });
        for (const name of (await directories(path)) ?? []) await walk(join(path, name));
      };
      if (ids.size > 0) await walk(mount);
      return found;
    },
  };
}

/** The id of the cgroup that is a directory, or undefined if there is none. */
export async function inode(path: string): Promise<bigint | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return found.isDirectory() ? found.ino : undefined;
  } catch {
    return undefined;
  }
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
    const id = await inode(path);
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
