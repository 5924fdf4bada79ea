import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createMarker, type Marker, type Marking, removeMark } from '../../nodeagent/dscp/marker.ts';
import { listLinks } from '../../nodeagent/net/links.ts';
import { withNetlink } from '../../nodeagent/net/netlink.ts';
import { type Lab, openLab, type Pod } from '../lab/lab.ts';
import { buildPrograms, type FloodOptions, type NativePrograms, type SniffedKind } from '../lab/native/programs.ts';
import { type Running, startSink } from '../lab/traffic/traffic.ts';

const objectFile = fileURLToPath(new URL('../../bpf/shaper.bpf.o', import.meta.url));
const [icmp, tcp, udp, icmp6, experiment] = [1, 6, 17, 58, 253];
const [ef, be] = [46, 0];
const ecnCapable = 2;

let lab: Lab;
let programs: NativePrograms;
let marker: Marker;
const running: Running<unknown>[] = [];

beforeAll(async () => {
  [lab, programs] = await Promise.all([openLab('podrate-marks'), buildPrograms()]);
  marker = createMarker(objectFile);
  for (const pod of [lab.pods.a, lab.pods.b]) {
    await inNetwork(pod, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647');
  }
});
beforeEach(async () => {
  for (const pod of [lab.pods.b, lab.pods.a]) await keep(startSink(pod));
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  for (const pod of Object.values(lab.pods)) clear(pod);
});
afterAll(async () => {
  await lab?.close();
  await programs?.remove();
});

const inNetwork = (pod: Pod, ...command: string[]) => execa('nsenter', [`--net=${pod.netnsPath}`, ...command]);
async function keep<T extends Running<unknown>>(started: Promise<T>): Promise<T> {
  const program = await started;
  running.push(program);
  return program;
}
function lookAt(pod: Pod) {
  const look = marker.look(pod.netnsPath);
  if (look === undefined) throw new Error(`${pod.netnsPath} is not there`);
  return look;
}
async function mark(pod: Pod, marking: Marking): Promise<void> {
  marker.apply(pod.netnsPath, lookAt(pod), marking);
}
function clear({ netnsPath }: Pod): void {
  expect(marker.clearAll([{ file: netnsPath, id: 0n }])).toEqual([]);
}

type Traffic = Partial<Omit<FloodOptions, 'kind'>> & { readonly kind: string };

/** Sends some packets from pod a, and tells which the pod `seenBy` received, from `from`. */
async function sniffed(traffic: Traffic, { seenBy = lab.pods.b, from = lab.pods.a } = {}): Promise<SniffedKind[]> {
  const sniff = await programs.startSniff(seenBy);
  const flood = await programs.startFlood(lab.pods.a, {
    ...{ host: lab.pods.b.ipv4, bytes: 100, perSecond: 200, ...traffic },
  });
  await new Promise((resolve) => setTimeout(resolve, 150));
  await flood.stop('SIGTERM');
  await sniff.stop('SIGTERM');
  return sniff.lines.filter((kind) => [from.ipv4, from.ipv6].includes(kind.from));
}
/** The code points of the packets of a protocol, each once. */
const codePoints = (kinds: SniffedKind[], protocol: number) =>
  [...new Set(kinds.filter((kind) => kind.protocol === protocol).map((kind) => kind.dscp))].sort();
const wrong = (kinds: SniffedKind[]) => kinds.reduce((sum, kind) => sum + kind.wrong, 0);
const ipv6 = () => ({ host: lab.pods.b.ipv6 });

const everyKind: readonly (readonly [string, string, number, boolean])[] = [
  ['TCP over IPv4', 'tcp', tcp, false],
  ['TCP over IPv6', 'tcp', tcp, true],
  ['UDP over IPv4', 'udp', udp, false],
  ['UDP over IPv6', 'udp', udp, true],
  ['ICMP of ping sockets', 'ping', icmp, false],
  ['ICMP of raw sockets', 'icmp', icmp, false],
  ['ICMPv6 of ping sockets', 'ping', icmp6, true],
  ['a protocol of its own', 'raw', experiment, false],
  ['a header of its own', 'own', experiment, false],
];

test.each(everyKind)('%s is marked, and its checksum is right', async (_, kind, protocol, isIpv6) => {
  const port = kind === 'tcp' ? { bytes: 3000 } : {};
  const traffic = { kind, ...port, ...(isIpv6 && ipv6()) };
  const drain = ['tcp'].includes(kind)
    ? await keep(programs.startDrain(lab.pods.b, 'tcp', isIpv6 ? 'ipv6' : 'ipv4'))
    : undefined;
  expect(codePoints(await sniffed(traffic), protocol)).toEqual([be]);
  await mark(lab.pods.a, { dscp: ef });
  const kinds = await sniffed(traffic);
  expect(codePoints(kinds, protocol)).toEqual([ef]);
  expect(wrong(kinds)).toBe(0);
  await drain?.stop();
});

test('every code point arrives, over both versions, whatever was there before', async () => {
  for (let dscp = 0; dscp <= 63; dscp += 9) {
    await mark(lab.pods.a, { dscp });
    expect(codePoints(await sniffed({ kind: 'udp' }), udp)).toEqual([dscp]);
    expect(codePoints(await sniffed({ kind: 'udp', ...ipv6() }), udp)).toEqual([dscp]);
  }
});

test('a dual-stack server, whose socket is IPv6, answers a client over IPv4 with marked packets', async () => {
  await mark(lab.pods.b, { dscp: ef });
  // The sink listens on [::]; what it sends are SYN-ACKs and ACKs.
  const script = `const s = require('net').connect(5001, '${lab.pods.b.ipv4}', () => { s.end('x'.repeat(20000)); }); s.resume();`;
  const sniff = await programs.startSniff(lab.pods.a);
  await inNetwork(lab.pods.a, process.execPath, '-e', script);
  await sniff.stop('SIGTERM');
  const kinds = sniff.lines.filter(({ from }) => from === lab.pods.b.ipv4);
  expect(codePoints(kinds, tcp)).toEqual([ef]);
  expect(wrong(kinds)).toBe(0);
});

test('answers of the kernel itself are marked with the rest of a namespace: echo replies, and resets of closed ports', async () => {
  await mark(lab.pods.b, { dscp: ef });
  const about = { seenBy: lab.pods.a, from: lab.pods.b };
  expect(codePoints(await sniffed({ kind: 'ping' }, about), icmp)).toEqual([ef]);
  expect(codePoints(await sniffed({ kind: 'connect' }, about), tcp)).toEqual([ef]);
});

test('the ECN bits are kept', async () => {
  await inNetwork(lab.pods.a, 'sysctl', '-qw', 'net.ipv4.tcp_ecn=1');
  const drain = await keep(programs.startDrain(lab.pods.b, 'tcp', 'ipv4'));
  await mark(lab.pods.a, { dscp: ef });
  const kinds = await sniffed({ kind: 'tcp', bytes: 3000 });
  await drain.stop();
  const drain6 = await keep(programs.startDrain(lab.pods.b, 'tcp', 'ipv6'));
  kinds.push(...(await sniffed({ kind: 'tcp', bytes: 3000, ...ipv6() })));
  await drain6.stop();
  for (const version of [4, 6]) {
    const ecn = kinds.filter((kind) => kind.version === version && kind.protocol === tcp).map((kind) => kind.ecn);
    expect(ecn, `IPv${version}`).toContain(ecnCapable);
  }
  expect(codePoints(kinds, tcp)).toEqual([ef]);
  await inNetwork(lab.pods.a, 'sysctl', '-qw', 'net.ipv4.tcp_ecn=2');
});

test('packets that end within their IP header pass as they are', async () => {
  await mark(lab.pods.a, { dscp: ef });
  // The other end of the pod's device: the bridge behind it drops them.
  const hub = { ...lab.pods.b, netnsPath: lab.pods.b.hubNetnsPath };
  const sniff = await programs.startSniff(hub);
  for (const bytes of [1, 2, 11]) {
    const about = { kind: 'packet', option: 'short', host: '0.0.0.0', bytes, perSecond: 200 };
    const flood = await programs.startFlood(lab.pods.a, about);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await flood.stop('SIGTERM');
    expect(flood.lines).toMatchObject([{ refused: 0 }]);
  }
  await sniff.stop('SIGTERM');
  expect(sniff.lines.filter(({ version, from }) => version === 4 && from === '').map(({ dscp }) => dscp)).toEqual([be]);
});

test.each(['tag', 'tags'])('packets with VLAN %s are marked behind them', async (option) => {
  await mark(lab.pods.a, { dscp: ef });
  const traffic = { kind: 'packet', option, host: '10.78.0.1', bytes: 60 };
  const kinds = await sniffed(traffic, { from: { ...lab.pods.a, ipv4: '10.78.0.1' } });
  expect(codePoints(kinds, experiment)).toEqual([ef]);
  expect(wrong(kinds)).toBe(0);
});

test('a device without link-layer headers is marked too', async () => {
  const { a } = lab.pods;
  const sniff = await programs.startSniff(a, 'tun0');
  await inNetwork(a, 'ip', 'address', 'add', '10.79.0.1/24', 'dev', 'tun0');
  await inNetwork(a, 'ip', 'link', 'set', 'tun0', 'up');
  await mark(a, { dscp: ef });
  await inNetwork(a, 'bash', '-c', 'for i in 1 2 3; do echo hello > /dev/udp/10.79.0.2/9; done');
  await sniff.stop('SIGTERM');
  const kinds = sniff.lines.filter(({ from }) => from === '10.79.0.1');
  expect(codePoints(kinds, udp)).toEqual([ef]);
  expect(wrong(kinds)).toBe(0);
});

test('only the packets of a cgroup and of those below it are marked, where the namespace is shared', async () => {
  const { a } = lab.pods;
  await mark(a, { cgroupId: a.cgroup.id, dscp: ef });
  expect(codePoints(await sniffed({ kind: 'udp' }), udp)).toEqual([ef]);
  expect(codePoints(await sniffed({ kind: 'udp', ...ipv6() }), udp)).toEqual([ef]);
  const sniff = await programs.startSniff(lab.pods.b);
  // Not in the pod's cgroup: it is this process's own.
  await inNetwork(a, 'bash', '-c', `for i in 1 2 3; do echo hello > /dev/udp/${lab.pods.b.ipv4}/9; done`);
  await sniff.stop('SIGTERM');
  expect(
    codePoints(
      sniff.lines.filter(({ from }) => from === a.ipv4),
      udp,
    ),
  ).toEqual([be]);
});

test('a SYN-ACK is of the cgroup of the socket that listens', async () => {
  const { b } = lab.pods;
  await mark(b, { cgroupId: b.cgroup.id, dscp: ef });
  const drain = await keep(programs.startDrain(b, 'tcp', 'ipv4'));
  const kinds = await sniffed({ kind: 'connect' }, { seenBy: lab.pods.a, from: b });
  await drain.stop();
  expect(
    codePoints(
      kinds.filter(({ packets }) => packets > 1),
      tcp,
    ),
  ).toContain(ef);
});

test('two cgroups of a namespace have a code point each, and one can be taken off', async () => {
  const { a } = lab.pods;
  await mark(a, { cgroupId: a.cgroup.id, dscp: ef });
  await mark(a, { cgroupId: lab.pods.c.cgroup.id, dscp: 10 });
  expect(marker.look(a.netnsPath)?.marks).toHaveLength(2);
  expect(codePoints(await sniffed({ kind: 'udp' }), udp)).toEqual([ef]);
  await mark(a, { cgroupId: a.cgroup.id, dscp: undefined });
  expect(codePoints(await sniffed({ kind: 'udp' }), udp)).toEqual([be]);
  expect(marker.look(a.netnsPath)?.marks).toHaveLength(1);
});

test('another code point replaces the mark of a device', async () => {
  const { a } = lab.pods;
  await mark(a, { dscp: ef });
  await mark(a, { dscp: 10 });
  expect(codePoints(await sniffed({ kind: 'udp' }), udp)).toEqual([10]);
  expect(marker.look(a.netnsPath)?.marks).toHaveLength(1);
});

test("taking marks off leaves others' filters alone, and nothing where there were none", async () => {
  const { a } = lab.pods;
  const place = async (device: string) =>
    (await inNetwork(a, 'tc', 'qdisc', 'show', 'dev', device)).stdout.includes('clsact');
  const before = (await inNetwork(a, 'tc', 'filter', 'show', 'dev', 'eth0', 'egress')).stdout;
  await inNetwork(a, 'ip', 'link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1');
  await inNetwork(a, 'ip', 'link', 'set', 'late0', 'up');
  await mark(a, { dscp: ef });
  expect(lookAt(a).marks).toHaveLength(2);
  expect(await place('late0')).toBe(true);
  clear(a);
  expect(await place('late0')).toBe(false);
  expect(await place('eth0')).toBe(true);
  expect((await inNetwork(a, 'tc', 'filter', 'show', 'dev', 'eth0', 'egress')).stdout).toBe(before);
  await inNetwork(a, 'ip', 'link', 'delete', 'late0');
});

test('what is gone already can be taken off: a mark, the place for filters, the device, the namespace', async () => {
  const { a } = lab.pods;
  await inNetwork(a, 'ip', 'link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1');
  const links = withNetlink(a.netnsPath, (netlink) => listLinks(netlink)) ?? [];
  const gone = { index: links.find(({ name }) => name === 'late0')?.index ?? 0, handle: 1, classId: 1 };
  const remove = () => withNetlink(a.netnsPath, (netlink) => removeMark(netlink, gone));
  remove();
  await inNetwork(a, 'tc', 'qdisc', 'add', 'dev', 'late0', 'clsact');
  remove();
  await inNetwork(a, 'ip', 'link', 'delete', 'late0');
  remove();
  expect(marker.clearAll([{ file: '/run/netns/podrate-nothing-there', id: 0n }])).toEqual([]);
});

test('whether anything is marked anywhere is known without looking into every namespace', async () => {
  const { a } = lab.pods;
  await mark(a, { dscp: ef });
  expect(marker.isUsed()).toBe(true);
  clear(a);
  // The kernel lets go of a filter's program a moment later.
  await expect.poll(() => marker.isUsed(), { timeout: 20_000 }).toBe(false);
});

test('a namespace that is gone is no error', () => {
  expect(marker.look('/run/netns/podrate-nothing-there')).toBeUndefined();
});
