import { readFile, writeFile } from 'node:fs/promises';
import type { LoadedShaper } from '../../test/lab/shaper.ts';
import type { FigureName, Figures } from '../figures/definitions.ts';

const setting = '/proc/sys/kernel/bpf_stats_enabled';
/** Fewer calls are the noise of the machine. */
const LEAST_CALLS = 100;
const figureOf: Readonly<Record<string, FigureName>> = {
  podrate_egress: 'egressNs',
  podrate_ingress: 'ingressNs',
  podrate_sockops: 'sockopsNs',
  podrate_queue: 'queueNs',
};

/** Has the kernel count the calls of BPF programs and their time while `work` runs. @returns ns per call of podrate's */
export async function measurePrograms(shaper: LoadedShaper, work: () => Promise<unknown>): Promise<Figures> {
  const before = await readFile(setting, 'utf8');
  await writeFile(setting, '1');
  try {
    const from = await shaper.readTimes();
    await work();
    const to = await shaper.readTimes();
    const figures = [...to].flatMap(([program, { calls, ns }]) => {
      const start = from.get(program) ?? { calls: 0, ns: 0 };
      const figure = figureOf[program];
      const called = calls - start.calls;
      return figure === undefined || called < LEAST_CALLS ? [] : [[figure, (ns - start.ns) / called] as const];
    });
    return Object.fromEntries(figures);
  } finally {
    await writeFile(setting, before);
  }
}
