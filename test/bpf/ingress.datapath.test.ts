import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab } from '../lab/lab.ts';
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
])('a pod without a queue in front is policed to %d bytes/s on %d connections', async (rate, connections) => {
  await limit(rate);
  await stream(lab.pods.b.ipv4, connections);
  await sleep(3000);
  const { tcp } = receivedRate(sink, 20);
  expect(tcp / rate).toBeLessThan(1.05);
  expect(tcp / rate).toBeGreaterThan(0.05);
});

test('a policed flood of datagrams is cut to the limit', async () => {
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
