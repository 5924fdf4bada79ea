import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type Lab, openLab, type Pod } from '../lab/lab.ts';
import { buildPrograms, type NativePrograms } from '../lab/native/programs.ts';
import { putQueue } from '../lab/queue.ts';
import type { LabLimit } from '../lab/shaper.ts';
import { measureRate, readSent } from '../lab/traffic/meter.ts';
import type { Running } from '../lab/traffic/traffic.ts';

const SENDER = 1;
const RECEIVER = 2;
let lab: Lab;
let programs: NativePrograms;
const running: Running<unknown>[] = [];
const limited: Pod[] = [];

beforeAll(async () => {
  [lab, programs] = await Promise.all([openLab(), buildPrograms()]);
  await inNetwork(lab.pods.a, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647');
});
afterAll(async () => {
  await lab?.close();
  await programs?.remove();
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  for (const pod of limited.splice(0)) await lab.shaper.detach(pod.cgroup);
});

const inNetwork = (pod: Pod, ...command: string[]) => execa('nsenter', [`--net=${pod.netnsPath}`, ...command]);
async function limit(pod: Pod, slot: number, rates: LabLimit): Promise<void> {
  await lab.shaper.attach(pod.cgroup, slot, rates);
  limited.push(pod);
}
async function keep<Line>(started: Promise<Running<Line>>): Promise<Running<Line>> {
  const program = await started;
  running.push(program);
  return program;
}

type Counted = Awaited<ReturnType<typeof lab.shaper.readCounters>>['egress'];

/** Starts to count one direction of a slot; the result tells what was counted since. */
async function counting(slot: number, direction: 'egress' | 'ingress'): Promise<() => Promise<Counted>> {
  const read = async () => (await lab.shaper.readCounters(slot))[direction];
  const before = await read();
  return async () => {
    const after = await read();
    const difference = (verdict: keyof Counted) => ({
      packets: after[verdict].packets - before[verdict].packets,
      bytes: after[verdict].bytes - before[verdict].bytes,
    });
    const [passed, delayed, dropped, marked] = (['passed', 'delayed', 'dropped', 'marked'] as const).map(difference);
    return { passed, delayed, dropped, marked } as Counted;
  };
}

/**
 * Expects that a count of bytes grows at the limit: never faster, and at last as fast, for a busy machine may starve the
 * sender for a while. A reading takes a time of its own, so the mean is held against the longest and the shortest time
 * that can lie between two of them.
 */
async function expectLimit(read: () => Promise<number>, limit: number, ms = 600): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const { least, most } = await measuredRate(read, ms);
    expect(least / limit).toBeLessThan(1.05);
    if (most / limit > 0.85) return;
    if (tries === 10) expect(most / limit).toBeGreaterThan(0.85);
  }
}

/**
 * Expects the same of packets that may first make backlog, once that is used up, which takes seconds where a busy
 * machine sends in fits and starts. How much it may be in all is for the caller to check.
 */
async function expectLimitAfterBacklog(read: () => Promise<number>, limit: number): Promise<void> {
  const share = async () => {
    const { least, most } = await measuredRate(read, 600);
    return { least: least / limit, most: most / limit };
  };
  let found = await share();
  for (let tries = 1; tries < 15 && !(found.least < 1.05 && found.most > 0.85); tries += 1) found = await share();
  expect(found.least).toBeLessThan(1.05);
  expect(found.most).toBeGreaterThan(0.85);
}

async function measuredRate(read: () => Promise<number>, ms: number): Promise<{ least: number; most: number }> {
  const stamped = async () => ({ before: performance.now(), bytes: await read(), after: performance.now() });
  const from = await stamped();
  await sleep(ms);
  const to = await stamped();
  const rate = (duration: number) => ((to.bytes - from.bytes) * 1000) / duration;
  return { least: rate(to.after - from.before), most: rate(to.before - from.after) };
}
/**
 * Waits until a pod sends next to nothing: connections of the test before, whose program was killed, empty their buffers
 * at the limit.
 */
async function untilSilent(pod: Pod): Promise<void> {
  const bytesPerSecond = () => measureRate(() => readSent(pod), 50);
  await vi.waitFor(async () => expect(await bytesPerSecond()).toBeLessThan(20_000), { timeout: 5_000 });
}
const sentBy = (pod: Pod) => async () => (await readSent(pod)).ipBytes;

interface PacketCase {
  readonly what: string;
  readonly kind: string;
  readonly option?: string;
  /** The socket that receives it, if it is of another kind. */
  readonly to?: string;
  readonly family: 'ipv4' | 'ipv6';
  /** Bytes of each send. */
  readonly bytes: number;
  /** IP packets of each send, as the hook sees them; 1 if not said. */
  readonly packets?: number;
  /** Bytes of each. */
  readonly wire: number;
  /** Whether send() fails when the packet is dropped. */
  readonly told?: boolean;
}
const v4 = { family: 'ipv4', bytes: 1400 } as const;
const v6 = { family: 'ipv6', bytes: 1400 } as const;
const packetCases: readonly PacketCase[] = [
  { what: 'UDP', kind: 'udp', ...v4, wire: 1428 },
  { what: 'UDP', kind: 'udp', ...v6, wire: 1448 },
  { what: 'UDP in small packets', kind: 'udp', ...v4, bytes: 100, wire: 128 },
  { what: 'UDP with options', kind: 'udp', option: 'options', ...v4, wire: 1432 },
  { what: 'UDP with a destination options header', kind: 'udp', option: 'destination', ...v6, wire: 1456 },
  { what: 'UDP with a hop-by-hop header', kind: 'udp', option: 'hop-by-hop', ...v6, wire: 1456 },
  { what: 'UDP in fragments', kind: 'udp', ...v4, bytes: 7000, wire: 7028 },
  { what: 'UDP in fragments', kind: 'udp', ...v6, bytes: 7000, wire: 7048 },
  { what: 'UDP in fragments with extensions', kind: 'udp', option: 'destination', ...v6, bytes: 7000, wire: 7056 },
  {
    what: 'UDP with segmentation offload',
    kind: 'udp',
    option: 'segments',
    ...v4,
    bytes: 7000,
    packets: 5,
    wire: 1428,
  },
  {
    what: 'UDP with segmentation offload',
    kind: 'udp',
    option: 'segments',
    ...v6,
    bytes: 7000,
    packets: 5,
    wire: 1448,
  },
  { what: 'UDP-Lite', kind: 'udplite', ...v4, wire: 1428 },
  { what: 'UDP-Lite', kind: 'udplite', ...v6, wire: 1448 },
  { what: 'ICMP echo of a ping socket', kind: 'ping', to: 'icmp', ...v4, wire: 1420, told: true },
  { what: 'ICMP echo of a ping socket', kind: 'ping', to: 'icmp', ...v6, wire: 1440 },
  { what: 'ICMP echo of a raw socket', kind: 'icmp', ...v4, wire: 1420 },
  { what: 'ICMP echo of a raw socket', kind: 'icmp', ...v6, wire: 1440, told: true },
  { what: 'another protocol', kind: 'raw', ...v4, wire: 1420 },
  { what: 'another protocol', kind: 'raw', ...v6, wire: 1440, told: true },
  { what: 'another protocol with extensions', kind: 'raw', option: 'destination', ...v6, wire: 1448, told: true },
  { what: "a packet with the application's own header", kind: 'own', to: 'raw', ...v4, wire: 1400 },
  { what: "a packet with the application's own header", kind: 'own', to: 'raw', ...v6, wire: 1400 },
];

test.each(packetCases)(
  '$what over $family is limited at both ends, and counted to the packet',
  async ({ kind, option = 'none', to = kind, family, bytes, packets = 1, wire, told = false }) => {
    // Few packets, so that a busy machine loses none of them on their way.
    const egress = Math.min(4_000_000, 2_800 * wire);
    const ingress = egress / 4;
    const { a, b } = lab.pods;
    await limit(a, SENDER, { egress });
    await limit(b, RECEIVER, { ingress });
    const [sender, receiver] = [await counting(SENDER, 'egress'), await counting(RECEIVER, 'ingress')];
    const drain = await keep(programs.startDrain(b, to, family));
    const perSecond = (5 * egress) / (packets * wire);
    const flood = await keep(programs.startFlood(a, { kind, option, host: b[family], bytes, perSecond }));
    await sleep(250);
    const passed = async () => (await receiver()).passed.bytes;
    await Promise.all([expectLimit(sentBy(a), egress, 450), expectLimit(passed, ingress, 450)]);

    await flood.stop('SIGTERM');
    await sleep(20);
    await drain.stop('SIGTERM');
    const [sent, received] = [await sender(), await receiver()];
    expect(sent.dropped.packets).toBeGreaterThan(2 * sent.passed.packets);
    expect(flood.lines).toEqual([
      told
        ? { sent: sent.passed.packets, refused: sent.dropped.packets, errno: constants.errno.ENOBUFS }
        : { sent: (sent.passed.packets + sent.dropped.packets) / packets, refused: 0, errno: 0 },
    ]);
    // What the one end passed is what the other judged, and what that passed is what the application got.
    expect(received.passed.packets + received.dropped.packets).toBe(sent.passed.packets);
    expect(drain.lines[0]?.packets).toBe(received.passed.packets);
    for (const { passed, dropped } of [sent, received]) {
      expect([passed.bytes, dropped.bytes]).toEqual([passed.packets * wire, dropped.packets * wire]);
    }
  },
);

// What the hook does not see. Each is a flood, of at least eight times the limit of the pod that sends it. Before the tests
// of TCP, whose killed connections still say goodbye for a while.
test.each([
  ['echo replies, which the kernel sends', 'icmp', 1400, 'a', 'b'],
  ['resets, which the kernel sends', 'connect', 0, 'a', 'b'],
  ['packets of AF_PACKET sockets', 'packet', 1400, 'a', 'a'],
  ['packets that the pod forwards', 'udp', 1400, 'c', 'a'],
] as const)('%s are neither limited nor counted', async (_, kind, bytes, from, by) => {
  const rate = 10_000;
  const { a, b, c } = lab.pods;
  const pod = lab.pods[by];
  await limit(pod, SENDER, { egress: rate, ingress: rate });
  if (from === 'c') {
    // By way of pod a, which must not tell that all are neighbours.
    const forward = ['ip_forward=1', 'conf.all.send_redirects=0', 'conf.eth0.send_redirects=0'];
    await inNetwork(a, 'sysctl', '-qw', ...forward.map((setting) => `net.ipv4.${setting}`));
    await inNetwork(c, 'ip', 'route', 'replace', `${b.ipv4}/32`, 'via', a.ipv4);
    await keep(programs.startDrain(b, kind, 'ipv4'));
  }
  const [sent, received] = [await counting(SENDER, 'egress'), await counting(SENDER, 'ingress')];
  await keep(programs.startFlood(lab.pods[from], { kind, host: b.ipv4, bytes, perSecond: 3000 }));
  await sleep(200);
  expect((await measureRate(() => readSent(pod), 400)) / rate).toBeGreaterThan(5);
  for (const { passed, dropped } of [await sent(), await received()]) {
    expect([passed.packets, dropped.packets]).toEqual([0, 0]);
  }
});

test.each([
  ['TCP with a destination options header', 'tcp', 'destination', 'ipv6'],
  ['TCP with a hop-by-hop header', 'tcp', 'hop-by-hop', 'ipv6'],
  ['TCP with IPv4 options', 'tcp', 'options', 'ipv4'],
  ['Multipath TCP', 'mptcp', 'none', 'ipv4'],
] as const)(
  '%s is sent at the limit, and received at the lower one of the receiver through its queue',
  async (_, kind, option, family) => {
    const [egress, ingress] = [2_000_000, 1_000_000];
    const { a, b } = lab.pods;
    try {
      await limit(a, SENDER, { egress });
      await putQueue(lab.shaper, b, RECEIVER, 2 * egress);
      await limit(b, RECEIVER, { ingress: 2 * egress, queued: true });
      await keep(programs.startDrain(b, kind, family));
      await untilSilent(a);
      const sent = await counting(SENDER, 'egress');
      const before = await readSent(a);
      const bulk = { kind, option, host: b[family], bytes: 60_000, perSecond: 1000, sockets: 4 };
      await keep(programs.startFlood(a, bulk));
      await sleep(400);
      await expectLimit(sentBy(a), egress);
      // Reading takes a time of its own, in which more is sent.
      const least = (await readSent(a)).ipBytes - before.ipBytes;
      const counted = (await sent()).passed.bytes;
      const most = (await readSent(a)).ipBytes - before.ipBytes;
      expect(counted).toBeGreaterThan(0.95 * least);
      expect(counted).toBeLessThan(1.05 * most);
      await putQueue(lab.shaper, b, RECEIVER, ingress);
      await lab.shaper.setLimit(RECEIVER, { ingress, queued: true });
      await sleep(600);
      // The device is counted before the queue, and what the queue drops with it.
      await expectLimit(async () => (await lab.shaper.readCounters(RECEIVER)).ingress.passed.bytes, ingress);
    } finally {
      await putQueue(lab.shaper, b, RECEIVER, undefined);
    }
  },
);

test.each([1, 100])(
  'TCP segments of %d bytes are cut to the limit once the backlog that small ones may make is used up',
  async (bytes) => {
    const rate = 200_000;
    const backlogSeconds = 2;
    const { a, b } = lab.pods;
    await limit(a, SENDER, { egress: rate });
    await keep(programs.startDrain(b, 'tcp', 'ipv4'));
    const before = await readSent(a);
    const tiny = { kind: 'tcp', host: b.ipv4, bytes, perSecond: 50_000, sockets: 8 };
    await keep(programs.startFlood(a, tiny));
    await expectLimitAfterBacklog(sentBy(a), rate);
    const after = await readSent(a);
    const seconds = (after.atMs - before.atMs) / 1000;
    expect(after.ipBytes - before.ipBytes).toBeLessThan(1.05 * rate * (seconds + backlogSeconds));
  },
);

test('policed small TCP segments are cut to the limit of the receiver', async () => {
  const rate = 200_000;
  const backlogSeconds = 0.5;
  const { a, b } = lab.pods;
  await limit(b, RECEIVER, { ingress: rate });
  await keep(programs.startDrain(b, 'tcp', 'ipv4'));
  const received = await counting(RECEIVER, 'ingress');
  const start = performance.now();
  await keep(programs.startFlood(a, { kind: 'tcp', host: b.ipv4, bytes: 1, perSecond: 50_000, sockets: 8 }));
  await expect
    .poll(async () => (await received()).dropped.packets, { timeout: 20_000, interval: 200 })
    .toBeGreaterThan(0);
  await sleep(600);
  const { passed } = await received();
  const seconds = (performance.now() - start) / 1000;
  expect(passed.bytes).toBeGreaterThan(0.5 * rate * seconds);
  expect(passed.bytes).toBeLessThan(1.05 * rate * (seconds + backlogSeconds));
});

test('small datagrams and small TCP segments together are cut to the limit', async () => {
  const rate = 200_000;
  const backlogSeconds = 2;
  const { a, b } = lab.pods;
  await limit(a, SENDER, { egress: rate });
  const before = await readSent(a);
  for (const kind of ['tcp', 'udp']) await keep(programs.startDrain(b, kind, 'ipv4'));
  await keep(programs.startFlood(a, { kind: 'tcp', host: b.ipv4, bytes: 1, perSecond: 30_000, sockets: 8 }));
  await keep(programs.startFlood(a, { kind: 'udp', host: b.ipv4, bytes: 60, perSecond: 10_000 }));
  await expectLimitAfterBacklog(sentBy(a), rate);
  const after = await readSent(a);
  const seconds = (after.atMs - before.atMs) / 1000;
  expect(after.ipBytes - before.ipBytes).toBeLessThan(1.05 * rate * (seconds + backlogSeconds));
});
