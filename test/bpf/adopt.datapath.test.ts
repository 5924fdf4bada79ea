import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Lab, openLab } from '../lab/lab.ts';
import { measureRate, readSent } from '../lab/traffic/meter.ts';
import { type Running, startSink, startStreams } from '../lab/traffic/traffic.ts';

let lab: Lab;
const running: Running<unknown>[] = [];

beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab?.close());
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
});

test.each([2_000_000, 10_000_000])(
  'four connections that are older than a limit of %d bytes/s are paced by it, and follow it up, and run free after it',
  async (rate) => {
    const { a, b } = lab.pods;
    running.push(await startSink(b));
    const source = await startStreams(a, b.ipv4, 4);
    running.push(source);
    await sleep(300);
    await lab.shaper.attach(a.cgroup, 1, { egress: rate });
    try {
      // A connection from which something was dropped may be silent for some time, so user space looks twice.
      let paced = 0;
      for (const ms of [250, 550]) {
        await sleep(ms);
        paced += (await lab.shaper.adopt(a)).paced;
      }
      expect(paced).toBe(4);
      await sleep(200);
      const before = await lab.shaper.readCounters(1);
      for (const now of [rate, 2 * rate]) {
        await lab.shaper.setLimit(1, { egress: now });
        await sleep(300);
        const ratio = (await measureRate(() => readSent(a), 1000)) / now;
        expect(ratio).toBeGreaterThan(0.9);
        expect(ratio).toBeLessThan(1.05);
      }
      const { egress } = await lab.shaper.readCounters(1);
      expect(egress.dropped.packets - before.egress.dropped.packets).toBe(0);
      await lab.shaper.setLimit(1, { egress: rate, release: true });
      await sleep(500);
      expect(await measureRate(() => readSent(a), 300)).toBeGreaterThan(50_000_000);
      expect(source.lines).toEqual([]);
    } finally {
      await lab.shaper.detach(a.cgroup);
    }
  },
);

test('connections of pods without a limit are left alone', async () => {
  const { a, b, c } = lab.pods;
  running.push(await startSink(b), await startStreams(c, b.ipv4, 2));
  await lab.shaper.attach(a.cgroup, 1, { egress: 1_000_000 });
  try {
    expect(await lab.shaper.adopt(c)).toEqual({ paced: 0, fixed: 0 });
  } finally {
    await lab.shaper.detach(a.cgroup);
  }
});
