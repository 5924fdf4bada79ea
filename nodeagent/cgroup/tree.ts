/** Reads the cgroup tree. */
import { statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { orUndefined } from '../base/errors.ts';
import { isPodTree, isQualityClass, podUidOf } from './names.ts';

/** A cgroup that exists. */
export interface Cgroup {
  /** Inode number of the directory, which is the kernel's cgroup id. */
  readonly id: bigint;
  /** Absolute path of the directory. */
  readonly path: string;
}

/** The pods' part of the cgroup tree, at one moment. */
export interface PodCgroups {
  /** Cgroup by pod uid; static pods by their hash. */
  readonly byUid: ReadonlyMap<string, Cgroup>;
  /** Directories in which a new pod's directory, or a new tree of pods, appears. */
  readonly parents: readonly string[];
}

/** Reads the tree. */
export type Cgroups = ReturnType<typeof createCgroups>;

const maxDepth = 4;

/**
 * Builds the reader.
 * @param root the directory below which kubelets' trees are looked for
 * @param mount where the cgroup2 tree begins
 */
export function createCgroups({ root, mount }: { root: string; mount: string }) {
  let trees: readonly string[] = [];

  return {
    /**
     * Finds the pods' cgroups. Looking for the trees that hold them walks up to four levels of the whole tree, so it is done only if
     * none is known yet, if one went away, or on request; those right below the root are always found.
     */
    async scan({ searchTrees = false } = {}): Promise<PodCgroups> {
      if (searchTrees || trees.length === 0) trees = await findTrees(root, maxDepth);
      else trees = [...new Set([...trees, ...(await findTrees(root, 1))])];
      const byUid = new Map<string, Cgroup>();
      const parents = [root];
      const visit = async (path: string) => {
        const names = await directories(path);
        if (names === undefined) return undefined;
        parents.push(path);
        for (const name of names) {
          const uid = podUidOf(name);
          const id = uid === undefined ? undefined : inode(`${path}/${name}`);
          // It may have vanished since the listing; that is how pods end.
          if (uid !== undefined && id !== undefined) byUid.set(uid, { id, path: `${path}/${name}` });
        }
        return names;
      };
      for (const tree of trees) {
        const names = await visit(tree);
        if (names === undefined) trees = [];
        for (const name of names?.filter(isQualityClass) ?? []) await visit(`${tree}/${name}`);
      }
      return { byUid, parents };
    },

    /** Finds cgroups anywhere by their ids, by walking the tree. Those that do not exist are left out. */
    async find(ids: ReadonlySet<bigint>): Promise<Map<bigint, Cgroup>> {
      const found = new Map<bigint, Cgroup>();
      const visit = async (path: string) => {
        const id = inode(path);
        if (id !== undefined && ids.has(id)) found.set(id, { id, path });
        for (const name of (await directories(path)) ?? []) await visit(`${path}/${name}`);
      };
      if (ids.size > 0) await visit(mount);
      return found;
    },
  };
}

async function findTrees(path: string, depth: number): Promise<string[]> {
  const names = (await directories(path)) ?? [];
  const trees = names.filter(isPodTree).map((name) => `${path}/${name}`);
  if (depth === 1) return trees;
  for (const name of names.filter((candidate) => !isPodTree(candidate))) {
    trees.push(...(await findTrees(`${path}/${name}`, depth - 1)));
  }
  return trees;
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
  return (await readFile(`${path}/cgroup.events`, 'utf8')).includes('populated 1');
}

/** The id of the cgroup that is a directory, or undefined if there is none. */
export function inode(path: string): bigint | undefined {
  const found = orUndefined(() => statSync(path, { bigint: true }));
  return found?.isDirectory() ? found.ino : undefined;
}
