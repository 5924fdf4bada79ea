import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab, type Pod } from '../lab/lab.ts';
import { loadShaper } from '../lab/shaper.ts';
import { measureRate, readSent } from '../lab/traffic/meter.ts';
import { type Running, type SinkSample, startSink, startStreams } from '../lab/traffic/traffic.ts';

let lab: Lab;
const running: Running<unknown>[] = [];

beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab?.close());
beforeEach(async () => {
  running.push(await startSink(lab.pods.b));
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
});

async function stream(from: Pod, to: Pod, connections: number) {
  const source = await startStreams(from, to.ipv4, connections);
  running.push(source as Running<SinkSample>);
  return source;
}

test('a change of the egress limit takes hold within a second, up and down, and breaks no connection', async () => {
  const { a, b } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { egress: 10_000_000 });
  try {
    const source = await stream(a, b, 4);
    await sleep(1000);
    for (const rate of [2_000_000, 20_000_000, 1_000_000]) {
      await lab.shaper.setLimit(1, { egress: rate });
      await sleep(1000);
      const ratio = (await measureRate(() => readSent(a), 1000)) / rate;
      expect(ratio).toBeGreaterThan(0.8);
      expect(ratio).toBeLessThan(1.1);
    }
    expect(source.lines).toEqual([]);
  } finally {
    await lab.shaper.detach(a.cgroup);
  }
});

test('released connections run free, also after the programs are gone', async () => {
  const { a, b } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { egress: 1_000_000 });
  const source = await stream(a, b, 4);
  await sleep(1500);
  await lab.shaper.setLimit(1, { egress: 1_000_000, release: true });
  await sleep(500);
  await lab.shaper.detach(a.cgroup);
  await sleep(300);
  expect(await measureRate(() => readSent(a), 500)).toBeGreaterThan(50_000_000);
  expect(source.lines).toEqual([]);
});

test('the release program frees connections whose limit was detached without a release', async () => {
  const { a, b } = lab.pods;
  await lab.shaper.attachRelease(lab.rootCgroup);
  try {
    await lab.shaper.attach(a.cgroup, 1, { egress: 1_000_000 });
    await stream(a, b, 4);
    await sleep(1500);
    await lab.shaper.detach(a.cgroup);
    await sleep(500);
    expect(await measureRate(() => readSent(a), 500)).toBeGreaterThan(50_000_000);
  } finally {
    await lab.shaper.detachRelease(lab.rootCgroup);
  }
});

test('a second version of the shaper takes over running connections at the same limit', async () => {
  const { a, b } = lab.pods;
  const limit = { egress: 5_000_000 };
  const next = await loadShaper('podrate-lab-next');
  await lab.shaper.attach(a.cgroup, 1, limit);
  try {
    const source = await stream(a, b, 2);
    await sleep(1000);
    await next.attach(a.cgroup, 1, limit);
    await sleep(500);
    await lab.shaper.detach(a.cgroup);
    await sleep(700);
    const ratio = (await measureRate(() => readSent(a), 1500)) / limit.egress;
    expect(ratio).toBeGreaterThan(0.85);
    expect(ratio).toBeLessThan(1.05);
    expect(source.lines).toEqual([]);
  } finally {
    await next.detach(a.cgroup);
    await next.unload();
  }
});

test('two pods with different limits do not touch each other', async () => {
  const { a, b, c } = lab.pods;
  await lab.shaper.attach(a.cgroup, 1, { egress: 2_000_000 });
  await lab.shaper.attach(c.cgroup, 2, { egress: 8_000_000 });
  try {
    await stream(a, b, 2);
    await stream(c, b, 2);
    await sleep(700);
    const [slow = 0, fast = 0] = await Promise.all([a, c].map((pod) => measureRate(() => readSent(pod), 2000)));
    expect(slow / 2_000_000).toBeGreaterThan(0.85);
    expect(slow / 2_000_000).toBeLessThan(1.05);
    expect(fast / 8_000_000).toBeGreaterThan(0.85);
    expect(fast / 8_000_000).toBeLessThan(1.05);
  } finally {
    await lab.shaper.detach(a.cgroup);
    await lab.shaper.detach(c.cgroup);
  }
});

test("another owner's program on the same cgroup keeps running", async () => {
  const { a, b } = lab.pods;
  const other = await loadShaper('podrate-lab-other');
  await other.attach(a.cgroup, 1, { egress: 100_000_000 });
  await lab.shaper.attach(a.cgroup, 1, { egress: 2_000_000 });
  try {
    await stream(a, b, 1);
    await sleep(1000);
    const [ours, theirs] = [await lab.shaper.readCounters(1), await other.readCounters(1)];
    expect(ours.egress.passed.packets).toBeGreaterThan(100);
    expect(theirs.egress.passed.packets).toBeGreaterThan(100);
    expect(await measureRate(() => readSent(a), 1000)).toBeLessThan(2_100_000);
  } finally {
    await lab.shaper.detach(a.cgroup);
    await other.detach(a.cgroup);
    await other.unload();
  }
});
