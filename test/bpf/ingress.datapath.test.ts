import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab } from '../lab/lab.ts';
import { measureRate, readDelivered } from '../lab/meter.ts';
import { type Running, receivedRate, type SinkSample, startFlood, startSink, startStreams } from '../lab/traffic.ts';

let lab: Lab;
let sink: Running<SinkSample>;
const running: Running<unknown>[] = [];
const SLOT = 1;
const SENDER_SLOT = 2;

beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab?.close());
beforeEach(async () => {
  sink = await startSink(lab.pods.b);
  running.push(sink);
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  await lab.shaper.detach(lab.pods.b.cgroup);
});

const limit = (ingress: number) => lab.shaper.attach(lab.pods.b.cgroup, SLOT, { ingress });
async function stream(host: string, connections: number) {
  running.push(await startStreams(lab.pods.a, host, connections));
}
test.each([
  [1_000_000, 1],
  [1_000_000, 8],
  [125_000_000, 8],
])('senders that know nothing of podrate pass at most %d bytes/s on %d connections', async (rate, connections) => {
  await limit(rate);
  await stream(lab.pods.b.ipv4, connections);
  await sleep(3000);
  const { tcp } = receivedRate(sink, 20);
  expect(tcp / rate).toBeLessThan(1.05);
  expect(tcp / rate).toBeGreaterThan(0.05);
});

test('a flood of datagrams is cut to the limit', async () => {
  const rate = 1_000_000;
  await limit(rate);
  running.push(await startFlood(lab.pods.a, lab.pods.b.ipv4, 1400, 7000));
  await sleep(2500);
  const ratio = receivedRate(sink, 15).udp / rate;
  expect(ratio).toBeGreaterThan(0.85);
  expect(ratio).toBeLessThan(1.05);
});

test('traffic within the pod is not limited', async () => {
  await limit(1_000_000);
  running.push(await startStreams(lab.pods.b, '127.0.0.1', 1));
  await sleep(1000);
  expect(receivedRate(sink, 5).tcp).toBeGreaterThan(50_000_000);
});

test.each([
  [1_000_000, 1, 'ipv4'],
  [5_000_000, 8, 'ipv6'],
  [10_000_000, 1, 'ipv4'],
  [125_000_000, 8, 'ipv4'],
] as const)(
  'senders of a podrate node keep to %d bytes/s on %d connections over %s by themselves',
  async (rate, connections, family) => {
    await lab.shaper.attachRelease(lab.rootCgroup);
    try {
      await limit(rate);
      const before = await lab.shaper.readCounters(SLOT);
      await stream(lab.pods.b[family], connections);
      await sleep(1000);
      const ratio = (await measureRate(() => readDelivered(lab.pods.b), 1200)) / rate;
      expect(ratio).toBeGreaterThan(0.85);
      expect(ratio).toBeLessThan(1.05);
      const { ingress } = await lab.shaper.readCounters(SLOT);
      const seen = ingress.passed.packets - before.ingress.passed.packets;
      expect((ingress.dropped.packets - before.ingress.dropped.packets) / seen).toBeLessThan(0.02);
    } finally {
      await lab.shaper.detachRelease(lab.rootCgroup);
    }
  },
);

test('senders of a podrate node keep their part of the limit beside a flood of datagrams', async () => {
  const rate = 2_000_000;
  await lab.shaper.attachRelease(lab.rootCgroup);
  try {
    await limit(rate);
    running.push(await startFlood(lab.pods.c, lab.pods.b.ipv4, 1400, 15_000));
    await stream(lab.pods.b.ipv4, 4);
    await sleep(3000);
    const { tcp, udp } = receivedRate(sink, 15);
    expect(tcp / rate).toBeGreaterThan(0.3);
    expect((tcp + udp) / rate).toBeLessThan(1.05);
  } finally {
    await lab.shaper.detachRelease(lab.rootCgroup);
  }
});

test('a sender that is limited itself keeps to the lower of the two limits', async () => {
  await lab.shaper.attachRelease(lab.rootCgroup);
  await lab.shaper.attach(lab.pods.a.cgroup, SENDER_SLOT, { egress: 8_000_000 });
  try {
    await limit(2_000_000);
    await stream(lab.pods.b.ipv4, 4);
    await sleep(1000);
    const ratio = (await measureRate(() => readDelivered(lab.pods.b), 1500)) / 2_000_000;
    expect(ratio).toBeGreaterThan(0.85);
    expect(ratio).toBeLessThan(1.05);
  } finally {
    await lab.shaper.detach(lab.pods.a.cgroup);
    await lab.shaper.detachRelease(lab.rootCgroup);
  }
});
