import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createShaper } from '../nodeagent/shaper/shaper.ts';
import type { Step } from '../nodeagent/shaper/steps.ts';
import { createCgroup, findCgroup2, removeCgroup } from '../test/lab/cgroups.ts';
import { object } from '../test/lab/shaper.ts';
import type { Figures } from './figures/definitions.ts';
import { median } from './figures/statistics.ts';
import type { Peer } from './peers/peer.ts';
import type { ManyScenario } from './scenario.ts';
import type { Testbed } from './testbed/testbed.ts';

/** The first time also compiles and fills caches; the middle one of some is what an agent sees. */
const REPEATS = 5;

/** Puts limits on pods that only exist, takes them off again, and tells what it cost. */
export async function runMany(bed: Testbed, scenario: ManyScenario, peer: Peer): Promise<Figures> {
  if (peer.name === 'podrate') return limitAtOnce(bed, scenario);
  const times: number[] = [];
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const begun = performance.now();
    const inForce = await peer.limit(bed, bed.pods.a, { egress: scenario.rate, ingress: scenario.rate });
    times.push(performance.now() - begun);
    await inForce.remove();
  }
  return { attach: median(times) };
}

/** All pods with the agent's own code. */
async function limitAtOnce(bed: Testbed, { pods, rate }: ManyScenario): Promise<Figures> {
  const pinDirectory = `${bed.pinDirectory}/many`;
  const cgroupMount = await findCgroup2();
  const shaper = createShaper({ pinDirectory, objectFile: object, releaseCgroup: undefined, cgroupMount });
  const side = { rate, burstNs: 0 };
  const config = { egress: side, ingress: side, release: false, queued: false };
  const parent = join(bed.rootCgroup, 'many');
  const apply = async (steps: readonly Step[]) => {
    const begun = performance.now();
    const [failure] = shaper.apply(steps);
    if (failure) throw failure.error;
    return performance.now() - begun;
  };
  try {
    const cgroups = await Promise.all(Array.from({ length: pods }, (_, i) => createCgroup(join(parent, `pod${i}`))));
    const before = await kernelMemory();
    shaper.install();
    const pod = (index: number) => ({ slot: index + 1, owner: `pod/${index}` });
    const attach = cgroups.map(
      (cgroup, index): Step => ({ ...pod(index), kind: 'attach', cgroup, config, claim: true, fresh: true }),
    );
    const detach = cgroups.map(
      (cgroup, index): Step => ({ ...pod(index), kind: 'detach', cgroupId: cgroup.id, keepLinks: false }),
    );
    const times = [await apply(attach)];
    const memory = ((await kernelMemory()) - before) / 1e6;
    while (times.length < REPEATS) {
      await apply(detach);
      times.push(await apply(attach));
    }
    await apply(detach);
    return { attach: median(times), memory };
  } finally {
    await removeCgroup(parent);
    shaper.remove();
  }
}

/** Bytes that the kernel holds for itself: slab, per-CPU memory, vmalloc, page tables and stacks aside. */
async function kernelMemory(): Promise<number> {
  const lines = (await readFile('/proc/meminfo', 'utf8')).split('\n');
  const kilobytes = (name: string) => Number(lines.find((line) => line.startsWith(`${name}:`))?.split(/\s+/)[1] ?? 0);
  return 1024 * (kilobytes('Slab') + kilobytes('Percpu') + kilobytes('VmallocUsed'));
}
