import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Lab, openLab } from '../lab/lab.ts';
import { measureRate, readDelivered, readSent } from '../lab/meter.ts';
import { type Running, startSink, startStreams } from '../lab/traffic.ts';

let lab: Lab;
const running: Running<unknown>[] = [];
const rate = 1_000_000;

beforeAll(async () => {
  lab = await openLab();
  await lab.shaper.exempt('10.77.0.2, fd77::2/128, 10.128.0.0/9');
  running.push(await startSink(lab.pods.b), await startSink(lab.pods.c));
});
afterAll(async () => {
  for (const program of running) await program.stop();
  await lab?.close();
});
afterEach(async () => {
  for (const program of running.splice(2)) await program.stop();
});

// First of all: in the tests below c gets data, which it acknowledges for some seconds after they have ended.
test('what an exempt peer sends is not limited and not counted', async () => {
  const { a, b } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { ingress: rate });
  try {
    const sink = await startSink(a);
    running.push(sink, await startStreams(b, a.ipv4, 1));
    await sleep(300);
    expect(await measureRate(() => readDelivered(a), 500)).toBeGreaterThan(50 * rate);
    expect((await lab.shaper.readCounters(1)).ingress.passed.packets).toBe(0);
  } finally {
    await lab.shaper.detach(a.cgroup);
  }
});

test.each(['ipv4', 'ipv6'] as const)(
  'a peer on the list is reached without a limit over %s, another one with it',
  async (family) => {
    const { a, b, c } = lab.pods;
    await lab.shaper.attach(a.cgroup, 1, { egress: rate });
    try {
      const listed = await startStreams(a, b[family], 1);
      await sleep(300);
      expect(await measureRate(() => readSent(a), 500)).toBeGreaterThan(50 * rate);
      await listed.stop();
      running.push(await startStreams(a, c[family], 1));
      await sleep(500);
      const ratio = (await measureRate(() => readSent(a), 1000)) / rate;
      expect(ratio).toBeGreaterThan(0.85);
      expect(ratio).toBeLessThan(1.05);
    } finally {
      await lab.shaper.detach(a.cgroup);
    }
  },
);

test('a paced connection is set free when its peer becomes exempt', async () => {
  const { a, c } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { egress: rate });
  try {
    running.push(await startStreams(a, c.ipv4, 2));
    await sleep(700);
    expect(await measureRate(() => readSent(a), 500)).toBeLessThan(1.1 * rate);
    await lab.shaper.exempt(c.ipv4);
    await sleep(500);
    expect(await measureRate(() => readSent(a), 500)).toBeGreaterThan(50 * rate);
  } finally {
    await lab.shaper.detach(a.cgroup);
  }
});
