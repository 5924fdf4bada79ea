import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab } from '../lab/lab.ts';
import { measureRate, readSent, readStatistic } from '../lab/traffic/meter.ts';
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
  await lab.shaper.detach(lab.pods.a.cgroup);
});

const limit = (egress: number, burstNs = 0) => lab.shaper.attach(lab.pods.a.cgroup, SLOT, { egress, burstNs });
async function stream(host: string, connections: number) {
  const source = await startStreams(lab.pods.a, host, connections);
  running.push(source);
  return source;
}
async function flood(host: string, size: number, perSecond: number) {
  running.push(await startFlood(lab.pods.a, host, size, perSecond));
}
const sent = () => readSent(lab.pods.a);

test.each([
  [1_000_000, 1, 'ipv4'],
  [1_000_000, 8, 'ipv4'],
  [10_000_000, 1, 'ipv6'],
  [10_000_000, 8, 'ipv6'],
  [125_000_000, 2, 'ipv4'],
] as const)('TCP at %d bytes/s on %d connections over %s is sent at the limit', async (rate, connections, family) => {
  await limit(rate);
  await stream(lab.pods.b[family], connections);
  await sleep(700);
  const ratio = (await measureRate(sent, 1200)) / rate;
  expect(ratio).toBeGreaterThan(0.85);
  expect(ratio).toBeLessThan(1.05);
});

test('a hundred connections hold a backlog of one segment each, however large the packets are that one of them would send', async () => {
  const [rate, connections] = [5_000_000, 100];
  await limit(rate);
  await stream(lab.pods.b.ipv4, connections);
  await sleep(1500);
  const segments = (connections * 1500 * 1000) / rate;
  for (let look = 0; look < 10; look += 1) {
    expect(await lab.shaper.readBacklog(SLOT)).toBeLessThan(1.5 * segments);
    await sleep(50);
  }
});

test.each([1400, 100])('a flood of %d-byte datagrams is cut to the limit', async (size) => {
  const rate = 1_000_000;
  await limit(rate);
  await flood(lab.pods.b.ipv4, size, (10 * rate) / size);
  await sleep(700);
  const ratio = (await measureRate(sent, 1200)) / rate;
  expect(ratio).toBeGreaterThan(0.85);
  expect(ratio).toBeLessThan(1.05);
});

test('TCP keeps its part of the limit beside a flood of datagrams', async () => {
  const rate = 2_000_000;
  await limit(rate);
  await flood(lab.pods.b.ipv4, 1400, 15_000);
  await stream(lab.pods.b.ipv4, 8);
  await sleep(2500);
  const { tcp, udp } = receivedRate(sink, 15);
  expect(tcp / rate).toBeGreaterThan(0.3);
  expect((tcp + udp) / rate).toBeLessThan(1.05);
});

test('packets of many segments, each far larger than the burst, pass at the limit', async () => {
  const rate = 20_000_000;
  await limit(rate, 1000);
  await stream(lab.pods.b.ipv4, 1);
  await sleep(700);
  const ratio = (await measureRate(sent, 1200)) / rate;
  expect(ratio).toBeGreaterThan(0.85);
  expect(ratio).toBeLessThan(1.05);
});

test.each(['127.0.0.1', '::1', 'own address'])('traffic to %s is not limited', async (to) => {
  await limit(1_000_000);
  const own = await startSink(lab.pods.a);
  running.push(own);
  await stream(to === 'own address' ? lab.pods.a.ipv4 : to, 1);
  await sleep(1000);
  expect(receivedRate(own, 5).tcp).toBeGreaterThan(50_000_000);
});

test('a cgroup without a slot is not limited', async () => {
  await lab.shaper.attach(lab.pods.a.cgroup, 0, { egress: 1_000_000, ingress: 1_000_000 });
  await stream(lab.pods.b.ipv4, 1);
  await sleep(300);
  expect(await measureRate(sent, 500)).toBeGreaterThan(20_000_000);
});

test('a limit of 0 is no limit', async () => {
  await limit(0);
  await stream(lab.pods.b.ipv4, 1);
  await sleep(300);
  expect(await measureRate(sent, 500)).toBeGreaterThan(20_000_000);
});

test('the counters agree to the packet with what the kernel sent and refused, under load on all CPUs', async () => {
  const size = 500;
  const udp = (name: string) => readStatistic(lab.pods.a, 'Udp', name);
  const before = { passed: await udp('OutDatagrams'), dropped: await udp('SndbufErrors') };
  await limit(20_000_000);
  const counted = await lab.shaper.readCounters(SLOT);
  for (let i = 0; i < 3; i++) await flood(lab.pods.b.ipv4, size, 60_000);
  await sleep(2000);
  for (const program of running.splice(0)) await program.stop();
  const { egress } = await lab.shaper.readCounters(SLOT);
  const passed = egress.passed.packets - counted.egress.passed.packets;
  const dropped = egress.dropped.packets - counted.egress.dropped.packets;
  expect(passed).toBe((await udp('OutDatagrams')) - before.passed);
  expect(dropped).toBe((await udp('SndbufErrors')) - before.dropped);
  expect(egress.passed.bytes - counted.egress.passed.bytes).toBe(passed * (size + 28));
  expect(dropped).toBeGreaterThan(1000);
});
