import { type Cgroup, isPopulated } from '../cgroup/tree.ts';

/** A pod whose containers run, with its cgroup. */
export interface RunningPod {
  readonly uid: string;
  readonly cgroup: Cgroup;
}

/** Knows the pods whose cgroups have no process, although their containers run: a limit of theirs holds nothing. */
export interface EmptyCgroups {
  /** Takes a look. One that is found empty twice in a row is empty; between restarts of a container one may be for a moment. */
  look(pods: readonly RunningPod[]): Promise<void>;
  has(uid: string): boolean;
}

/** Builds the knowledge, which begins with nothing. */
export function createEmptyCgroups(): EmptyCgroups {
  let seen = new Set<string>();
  let empty = new Set<string>();
  return {
    async look(pods) {
      const found = await Promise.all(
        // One that has vanished is seen by the next pass.
        pods.map(async ({ uid, cgroup }) => ((await isPopulated(cgroup.path).catch(() => true)) ? [] : [uid])),
      );
      const now = new Set(found.flat());
      empty = new Set([...now].filter((uid) => seen.has(uid)));
      seen = now;
    },
    has: (uid) => empty.has(uid),
  };
}
