import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { rateBetween } from '../../bench/figures/series.ts';
import { median } from '../../bench/figures/statistics.ts';
import { allPeers, type PeerName } from '../../bench/peers/all.ts';
import { bulk } from '../../bench/scenarios/bulk.ts';
import { refuseForeignPrograms } from '../../bench/testbed/foreign-programs.ts';
import { rows, startProgram } from '../../bench/testbed/process.ts';
import { buildBenchPrograms } from '../../bench/testbed/programs.ts';
import { openTestbed, type Testbed } from '../../bench/testbed/testbed.ts';
import { runTraffic } from '../../bench/testbed/traffic.ts';
import { defaultCache } from '../cluster/build/config.ts';

let bed: Testbed;

beforeAll(async () => {
  const context = { step: 'bench', log: join(tmpdir(), 'podrate-bench-test.log') };
  bed = await openTestbed('podrate-bench-test', await buildBenchPrograms(defaultCache(), context));
});
afterAll(async () => {
  await bed?.close();
  await bed?.programs.close();
});

test.each<[PeerName, number, number]>([
  ['podrate', 0.9, 1.06],
  ['cni-sane', 0.8, 1.1],
  ['htb', 0.7, 1.1],
  ['drop', 0.1, 1.2],
  ['thesis', 0.1, 6],
])('%s limits a flow, which has its pings, its bytes and its end', async (name, least, most) => {
  const recording = await runTraffic(bed, bulk('egress', [5e6, 1, [name]]), allPeers[name], 1);
  const sent = recording.wire.map(({ us, tcp }) => ({ us, bytes: tcp }));
  const share = rateBetween(sent, recording.startUs + 400_000, recording.endUs) / 5e6;
  expect(share).toBeGreaterThan(least);
  expect(share).toBeLessThan(most);
  expect(recording.goodput.at(-1)?.flows[0]).toBeGreaterThan(0);
  expect(recording.pings.limited.length).toBeGreaterThan(20);
  expect(recording.pings.other.length).toBeGreaterThan(50);
  expect(recording.source).toMatchObject({ broken: 0, sent: expect.any(Number) });
});

test.each<[PeerName, number, number]>([
  ['podrate', 0.8, 1.06],
  ['podrate-policed', 0.2, 1.06],
])('%s limits a flow that a pod receives', async (name, least, most) => {
  const scenario = bulk('ingress', [5e6, 1, [name]]);
  const { goodput, startUs, endUs } = await runTraffic(bed, scenario, allPeers[name], 1);
  const read = goodput.map(({ us, flows: [bytes = 0] }) => ({ us, bytes }));
  const share = rateBetween(read, startUs + 400_000, endUs) / 5e6;
  expect(share).toBeGreaterThan(least);
  expect(share).toBeLessThan(most);
});

test('a program of an installed podrate at the root of the cgroup tree is refused', async () => {
  await refuseForeignPrograms(bed.rootCgroup);
  await bed.shaper.attachRelease(bed.rootCgroup);
  try {
    await expect(refuseForeignPrograms(bed.rootCgroup)).rejects.toThrow(
      /"podrate_release".*npm run podrate -- uninstall/,
    );
  } finally {
    await bed.shaper.detachRelease(bed.rootCgroup);
  }
});

test('far is twenty milliseconds away', async () => {
  const { far, b } = bed.pods;
  const ping = join(bed.programs.native, 'ping');
  const server = await startProgram(b, ping, ['server', 5002]);
  const client = await startProgram(far, ping, ['client', b.ipv4, 5002, 10]);
  await vi.waitUntil(() => client.lines.length >= 5, 5000);
  await client.end();
  await server.end();
  const middle = median(rows(client).map(([, us = 0]) => us / 1000));
  expect(middle).toBeGreaterThan(19);
  expect(middle).toBeLessThan(60);
});
