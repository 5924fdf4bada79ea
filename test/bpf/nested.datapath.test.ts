import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createCgroup, removeCgroup } from '../lab/cgroups.ts';
import { type Lab, openLab, type Pod } from '../lab/lab.ts';
import { limitPod, unlimitPod } from '../lab/queue.ts';
import { measureRate, readSent } from '../lab/traffic/meter.ts';
import { type Running, startSink, startStreams } from '../lab/traffic/traffic.ts';

const SLOW = 1_000_000;
const FAST = 10_000_000;
let lab: Lab;
const running: Running<unknown>[] = [];

beforeAll(async () => {
  lab = await openLab('podrate-nested');
});
afterAll(() => lab?.close());
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
});

/** Makes a cgroup below the pod's, as that of a container. */
const containerOf = async (pod: Pod): Promise<Pod> => ({
  ...pod,
  cgroup: await createCgroup(join(pod.cgroup.path, 'container')),
});

/** Bytes per second that both limits let in. */
async function passedRate(ms: number): Promise<number> {
  const read = async (slot: number) => (await lab.shaper.readCounters(slot)).ingress.passed.bytes;
  const [start, before] = [performance.now(), await Promise.all([read(1), read(2)])];
  await sleep(ms);
  const after = await Promise.all([read(1), read(2)]);
  const passed = after.map((bytes, slot) => bytes - (before[slot] ?? 0));
  return (Math.min(...passed) * 1000) / (performance.now() - start);
}

const cases = (['egress', 'ingress'] as const).flatMap((direction) =>
  [
    { inner: SLOW, outer: FAST },
    { inner: FAST, outer: SLOW },
  ].flatMap((rates) => (['inner', 'outer'] as const).map((first) => ({ direction, ...rates, first }))),
);

test.each(cases)(
  '$direction: $inner bytes a second inside $outer hold the lower one, the $first attached first',
  async ({ direction, inner, outer, first }) => {
    const [sender, receiver] = [lab.pods.a, lab.pods.b];
    const pod = direction === 'egress' ? sender : receiver;
    const container = await containerOf(pod);
    const attach = {
      inner: () => lab.shaper.attach(container.cgroup, 1, { [direction]: inner }),
      outer: () => limitPod(lab.shaper, pod, 2, { [direction]: outer }),
    };
    await attach[first]();
    await attach[first === 'inner' ? 'outer' : 'inner']();
    try {
      running.push(await startSink(direction === 'ingress' ? container : receiver));
      running.push(await startStreams(direction === 'egress' ? container : sender, receiver.ipv4, 4));
      await sleep(1000);
      const rate = await (direction === 'egress' ? measureRate(() => readSent(sender), 2000) : passedRate(2000));
      // The container's own limit has no queue: it drops, and TCP gets a part of it.
      expect(rate / SLOW).toBeGreaterThan(direction === 'ingress' && inner === SLOW ? 0.3 : 0.85);
      expect(rate / SLOW).toBeLessThan(1.06);
    } finally {
      for (const program of running.splice(0)) await program.stop();
      await lab.shaper.detach(container.cgroup);
      await unlimitPod(lab.shaper, pod);
      await removeCgroup(container.cgroup.path);
    }
  },
);
