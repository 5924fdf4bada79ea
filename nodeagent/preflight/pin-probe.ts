/** Tries whether pins can be made. */
import { mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Makes a directory and removes it: in the pin directory or, where that does not exist yet, in the nearest one above
 * it that does.
 * @returns why the kernel refused it; undefined if it did not
 */
export async function probePins(pinDirectory: string): Promise<NodeJS.ErrnoException | undefined> {
  // The BPF file system refuses names with a dot.
  const probe = join(await nearest(pinDirectory), `podrate_probe_${process.pid}_${process.hrtime.bigint()}`);
  try {
    await mkdir(probe, { mode: 0o700 });
    await rmdir(probe);
    return undefined;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

async function nearest(path: string): Promise<string> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  return exists || path === dirname(path) ? path : nearest(dirname(path));
}
