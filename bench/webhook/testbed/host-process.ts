import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../../test/cluster/cluster.ts';

/** A webhook that runs on the host. */
export interface HostProcess {
  /** Resident memory, and the most that it ever was, in MB. */
  memory(): Promise<{ now: number; most: number }>;
  stop(): Promise<void>;
}

/** How a webhook is started. */
export interface HostProcessOptions {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The file that gets all that it writes, as a container's output goes to a file. */
  readonly log: string;
  /** Whether it can be asked already. */
  readonly isReady: () => Promise<boolean>;
}

/** Starts it in the cluster's network and waits until it is ready. @throws Error that names the log if it does not get ready */
export async function startHostProcess(cluster: Cluster, options: HostProcessOptions): Promise<HostProcess> {
  const { command, cwd, env = {}, log, isReady } = options;
  // The shell and nsenter give way to the program: the process id is the program's.
  const child = cluster.spawn('sh', ['-c', 'exec "$@" > "$0" 2>&1', log, ...command], { cwd, env, reject: false });
  let hasEnded = false;
  void child.then(() => {
    hasEnded = true;
  });
  const stop = async () => {
    child.kill('SIGTERM');
    await child;
  };
  for (const deadline = performance.now() + 30_000; !(await isReady().catch(() => false)); await sleep(200)) {
    if (!hasEnded && performance.now() < deadline) continue;
    await stop();
    throw new Error(`${command[0]} does not get ready; ${log} says why.`);
  }
  return {
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      const megabytes = (name: string) =>
        (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6;
      return { now: megabytes('VmRSS'), most: megabytes('VmHWM') };
    },
    stop,
  };
}
