import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab } from '../lab/lab.ts';
import { limitPod, putQueue, unlimitPod } from '../lab/queue.ts';
import {
  type Running,
  receivedRate,
  type SinkSample,
  startFlood,
  startSink,
  startStreams,
} from '../lab/traffic/traffic.ts';

let lab: Lab;
let sink: Running<SinkSample>;
const running: Running<unknown>[] = [];
const SLOT = 1;
const RATE = 10_000_000;
/** Payload in full-sized IP packets over IPv4, with timestamps. */
const PAYLOAD = 1448 / 1500;

beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab?.close());
beforeEach(async () => {
  await limitPod(lab.shaper, lab.pods.b, SLOT, { ingress: RATE });
  sink = await startSink(lab.pods.b);
  running.push(sink);
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  await unlimitPod(lab.shaper, lab.pods.b);
});

const change = async (ingress: number) => {
  await putQueue(lab.shaper, lab.pods.b, SLOT, ingress);
  await lab.shaper.setLimit(SLOT, { ingress, queued: true });
};
const dropped = async () => (await lab.shaper.readCounters(SLOT)).ingress.dropped.packets;

test('eight connections fill the limit through the queue, and the floor under it drops nothing', async () => {
  const before = await dropped();
  running.push(await startStreams(lab.pods.a, lab.pods.b.ipv4, 8));
  await sleep(4000);
  const share = receivedRate(sink, 20).tcp / (RATE * PAYLOAD);
  expect(share).toBeGreaterThan(0.9);
  expect(share).toBeLessThan(1.01);
  expect((await dropped()) - before).toBe(0);
});

test.each([
  [1_000_000, 1, 'ipv4'],
  [5_000_000, 8, 'ipv6'],
  [125_000_000, 8, 'ipv4'],
] as const)('a pod receives %d bytes/s on %d connections over %s', async (rate, connections, family) => {
  await change(rate);
  running.push(await startStreams(lab.pods.a, lab.pods.b[family], connections));
  await sleep(4000);
  // What is read at once when a lost segment comes again was sent long before.
  const share = receivedRate(sink, 30).tcp / rate;
  expect(share).toBeGreaterThan(0.85);
  expect(share).toBeLessThan(1.05);
});

test('a change of the limit takes hold within a second, up and down, and breaks no connection', async () => {
  const source = await startStreams(lab.pods.a, lab.pods.b.ipv4, 4);
  running.push(source);
  await sleep(1000);
  for (const rate of [2_000_000, 20_000_000, 1_000_000]) {
    await change(rate);
    await sleep(2000);
    const share = receivedRate(sink, 10).tcp / rate;
    expect(share).toBeGreaterThan(0.8);
    expect(share).toBeLessThan(1.1);
  }
  expect(source.lines).toEqual([]);
});

test('a flood of datagrams leaves TCP its part of the queue', async () => {
  running.push(await startFlood(lab.pods.c, lab.pods.b.ipv4, 1400, 50_000));
  running.push(await startStreams(lab.pods.a, lab.pods.b.ipv4, 4));
  await sleep(3000);
  const { tcp, udp } = receivedRate(sink, 15);
  expect(tcp / RATE).toBeGreaterThan(0.3);
  expect((tcp + udp) / RATE).toBeLessThan(1.01);
});

// Last: a peer stays exempt.
test('what exempt peers send passes by the queue', async () => {
  await lab.shaper.exempt(lab.pods.c.ipv4);
  running.push(await startStreams(lab.pods.c, lab.pods.b.ipv4, 1));
  await sleep(500);
  expect(receivedRate(sink, 4).tcp).toBeGreaterThan(5 * RATE);
});
