import { readdir, readFile } from 'node:fs/promises';

/** Time that processors have worked, in seconds, since some moment in the past. */
export interface CpuReading {
  /** All processors together, from the time that they idled. */
  readonly busy: number;
  /** User time of the load programs. */
  readonly load: number;
  /** User and system time of every other process, this one included. */
  readonly others: number;
}

const TICKS_PER_SECOND = 100; // USER_HZ, the same on all architectures that matter here

/**
 * Reads how much the machine has worked. `load` are the processes whose user time is the load's own: what they do in system calls is
 * the network's work and stays in.
 */
export async function readCpu(load: ReadonlySet<number>): Promise<CpuReading> {
  const [names, statistics] = await Promise.all([readdir('/proc'), readFile('/proc/stat', 'utf8')]);
  const processors = statistics.split('\n').filter((line) => /^cpu\d/.test(line));
  const idle = processors.reduce((sum, line) => sum + fields(line, 1, [3, 4, 7]), 0);
  let [own, others] = [0, 0];
  await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => {
        // It may have ended meanwhile.
        const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
        if (text === undefined) return;
        // Fields 14 to 17 of proc_pid_stat(5): user and system time, also of children that were waited for.
        const rest = text.slice(text.lastIndexOf(')') + 1);
        if (load.has(Number(pid))) own += fields(rest, 1, [10]);
        // Kernel threads do the network's work too: their parent is kthreadd, process 2.
        else if (fields(rest, 1, [0]) !== 2) others += fields(rest, 1, [10, 11, 12, 13]);
      }),
  );
  const uptime = performance.now() / 1000;
  return {
    busy: uptime * processors.length - idle / TICKS_PER_SECOND,
    load: own / TICKS_PER_SECOND,
    others: others / TICKS_PER_SECOND,
  };
}

/** What the network's work took between two readings: all work, without the load's user time and without other processes. */
export function networkSeconds(from: CpuReading, to: CpuReading): number {
  return to.busy - from.busy - (to.load - from.load) - (to.others - from.others);
}

function fields(line: string, skip: number, wanted: readonly number[]): number {
  const values = line.trim().split(/\s+/).slice(skip);
  return wanted.reduce((sum, index) => sum + Number(values[index]), 0);
}
