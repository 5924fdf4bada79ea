import { access, mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where cgroup2 is mounted, also beside version 1 (hybrid). */
export async function findCgroup2(): Promise<string> {
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const [before, after] = line.split(' - ');
    const mountPoint = before?.split(' ')[4];
    if (mountPoint !== undefined && after?.startsWith('cgroup2 ')) return mountPoint;
  }
  throw new Error('cgroup2 is not mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified');
}

export async function createCgroup(path: string): Promise<{ path: string; id: bigint }> {
  await mkdir(path, { recursive: true });
  const { ino } = await stat(path, { bigint: true });
  return { path, id: ino };
}

/** Kills what runs in the cgroup and its children, and removes them. Nothing there is no error. */
export async function removeCgroup(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
  }
  for (const pid of (await readFile(join(path, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  // The kernel lets go of a killed process's cgroup only after it has exited.
  for (let attempt = 0; ; attempt++) {
    try {
      return await rmdir(path);
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(20);
    }
  }
}

export async function joinCgroup(path: string, pid: number): Promise<void> {
  await writeFile(join(path, 'cgroup.procs'), String(pid));
}
