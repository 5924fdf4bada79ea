/** Tells when a pod's cgroup appears: inotify works on the cgroup file system, within a millisecond of the mkdir. */
import { type FSWatcher, watch } from 'node:fs';

/** A set of watched directories. */
export interface CgroupWatch {
  /** Watches exactly these directories from now on. One that cannot be watched is left out; the resync timer stands in for it. */
  set(directories: Iterable<string>): void;
  close(): void;
}

/**
 * Builds the watch.
 * @param kick called when something appears in, or vanishes from, a watched directory, or the directory itself vanishes
 */
export function watchCgroups(kick: () => void): CgroupWatch {
  const watchers = new Map<string, FSWatcher>();
  const drop = (directory: string) => {
    watchers.get(directory)?.close();
    watchers.delete(directory);
  };

  return {
    set(directories) {
      const wanted = new Set(directories);
      for (const directory of watchers.keys()) if (!wanted.has(directory)) drop(directory);
      for (const directory of wanted) {
        if (watchers.has(directory)) continue;
        try {
          const watcher = watch(directory, { persistent: false }, (event) => {
            // `change` is a write to one of the cgroup's files, of which a busy node has many.
            if (event === 'rename') kick();
          });
          watcher.on('error', () => {
            drop(directory);
            kick();
          });
          watchers.set(directory, watcher);
          // What appeared between the scan that named this directory and now made no event.
          kick();
        } catch {
          drop(directory);
        }
      }
    },
    close() {
      for (const directory of [...watchers.keys()]) drop(directory);
    },
  };
}
