/** Tells when a pod's cgroup appears: inotify works on the cgroup file system, within a millisecond of the mkdir. */
import { type FSWatcher, watch } from 'node:fs';

/**
 * Builds a set of watched directories.
 * @param kick called when something appears in, or vanishes from, a watched directory, or the directory itself vanishes
 */
export function watchCgroups(kick: () => void) {
  const watchers = new Map<string, FSWatcher>();
  const drop = (directory: string) => {
    watchers.get(directory)?.close();
    watchers.delete(directory);
  };

  return {
    /** Watches exactly these directories from now on. One that cannot be watched is left to the resync timer. */
    set(directories: Iterable<string>) {
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
