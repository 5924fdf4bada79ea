import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { podHandle } from '../../nodeagent/queue.ts';
import { settleQueues } from '../../nodeagent/queue-steps.ts';
import { createTc } from '../../nodeagent/tc.ts';
import { type Lab, openLab } from '../lab/lab.ts';
import { measureRate, readDelivered, readRetransmits } from '../lab/meter.ts';
import { type Running, receivedRate, type SinkSample, startFlood, startSink, startStreams } from '../lab/traffic.ts';

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
  const { hubNetnsPath, hubPort, cgroup } = lab.pods.b;
  await settleQueues(createTc(hubNetnsPath), podHandle, new Map([[hubPort, { rate: RATE, mtu: 1500 }]]));
  await lab.shaper.attach(cgroup, SLOT, { ingress: RATE, queued: true });
  sink = await startSink(lab.pods.b);
  running.push(sink);
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  await lab.shaper.detach(lab.pods.b.cgroup);
  await settleQueues(createTc(lab.pods.b.hubNetnsPath), podHandle, new Map());
});

const dropped = async () => (await lab.shaper.readCounters(SLOT)).ingress.dropped.packets;

test('a near sender that knows nothing of podrate fills the limit through the queue, and the limit drops nothing', async () => {
  const before = await dropped();
  running.push(await startStreams(lab.pods.a, lab.pods.b.ipv4, 8));
  await sleep(4000);
  const share = receivedRate(sink, 20).tcp / (RATE * PAYLOAD);
  expect(share).toBeGreaterThan(0.9);
  expect(share).toBeLessThan(1.01);
  expect((await dropped()) - before).toBe(0);
});

test('senders that cooperate keep the queue empty, and lose nothing', async () => {
  await lab.shaper.attachRelease(lab.rootCgroup);
  try {
    running.push(await startStreams(lab.pods.a, lab.pods.b.ipv4, 8));
    await sleep(2000);
    const before = await readRetransmits(lab.pods.a);
    const share = (await measureRate(() => readDelivered(lab.pods.b), 2000)) / RATE;
    expect(share).toBeGreaterThan(0.85);
    expect(share).toBeLessThan(1.01);
    const resent = (await readRetransmits(lab.pods.a)) - before;
    expect(resent / ((share * RATE * 2) / 1500)).toBeLessThan(0.02);
  } finally {
    await lab.shaper.detachRelease(lab.rootCgroup);
  }
});

test('a flood of datagrams leaves TCP its part of the queue', async () => {
  running.push(await startFlood(lab.pods.c, lab.pods.b.ipv4, 1400, 50_000));
  running.push(await startStreams(lab.pods.a, lab.pods.b.ipv4, 4));
  await sleep(3000);
  const { tcp, udp } = receivedRate(sink, 15);
  expect(tcp / RATE).toBeGreaterThan(0.3);
  expect((tcp + udp) / RATE).toBeLessThan(1.01);
});
