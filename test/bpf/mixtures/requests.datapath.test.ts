import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Lab, openLab } from '../../lab/lab.ts';
import { measureRate, readSent } from '../../lab/traffic/meter.ts';
import { type Running, startRequests, startServer, startSink, startStreams } from '../../lab/traffic/traffic.ts';

let lab: Lab;
const running: Running<unknown>[] = [];

beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab?.close());
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
});

test.each([
  ['client', { up: 8192, down: 100 }],
  ['server', { up: 100, down: 8192 }],
] as const)(
  'a pod that opens short connections as a %s keeps its limit, and each of them comes to its end',
  async (side, bytes) => {
    const { a, b } = lab.pods;
    const rate = 2_000_000;
    await lab.shaper.attach(a.cgroup, 1, { egress: rate });
    try {
      const [client, server] = side === 'client' ? [a, b] : [b, a];
      running.push(await startServer(server));
      const requests = await startRequests(client, server.ipv4, 20, bytes);
      running.push(requests);
      await sleep(700);
      const ratio = (await measureRate(() => readSent(a), 2500)) / rate;
      expect(ratio).toBeGreaterThan(0.85);
      expect(ratio).toBeLessThan(1.06);
      expect(requests.lines.filter(({ failed }) => failed)).toEqual([]);
      // Without the gate a tenth of them takes half a second and more, after a lost SYN a whole one.
      const slow = requests.lines.filter(({ ms }) => ms > 500);
      expect(slow.length / requests.lines.length).toBeLessThan(0.01);
    } finally {
      await lab.shaper.detach(a.cgroup);
    }
  },
);

test('the gate tells TCP its times in jiffies as long as the kernel has them', async () => {
  const { a, b } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { egress: 2_000_000 });
  try {
    running.push(await startServer(b), await startRequests(a, b.ipv4, 20, { up: 8192, down: 100 }));
    // The four that kernels are built with (kernel/Kconfig.hz). A start at zero would count from when the machine was started.
    const possible = [100, 250, 300, 1000].flatMap((hz) => [hz - 1, hz, hz + 1]);
    await expect.poll(() => lab.shaper.readJiffies(), { timeout: 20_000, interval: 500 }).toBeOneOf(possible);
  } finally {
    await lab.shaper.detach(a.cgroup);
  }
});

test('small requests do not wait behind the bulk connections of their pod', async () => {
  const { a, b } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { egress: 10_000_000 });
  try {
    running.push(await startSink(b), await startServer(b), await startStreams(a, b.ipv4, 8));
    await sleep(1000);
    const requests = await startRequests(a, b.ipv4, 2, { up: 100, down: 100 });
    running.push(requests);
    await sleep(1000);
    const ms = requests.lines.map((line) => line.ms).sort((one, other) => one - other);
    expect(ms.length).toBeGreaterThan(50);
    expect(ms[Math.floor(ms.length / 2)]).toBeLessThan(20);
    expect(requests.lines.filter(({ failed }) => failed)).toEqual([]);
  } finally {
    await lab.shaper.detach(a.cgroup);
  }
});
