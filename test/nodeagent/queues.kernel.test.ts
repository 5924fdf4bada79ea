import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { createPodDevices } from '../../nodeagent/pod-devices.ts';
import { linkRate, manualHandle, podHandle } from '../../nodeagent/queue.ts';
import { readQueues, removeQueues, settleQueues } from '../../nodeagent/queue-steps.ts';
import { createQueues, type Queues } from '../../nodeagent/queues.ts';
import { createTc, type Tc } from '../../nodeagent/tc.ts';
import { createNetwork, type PodNetwork, removeNetwork } from '../lab/network.ts';
import { podOf, uidOf } from './pods.ts';

const PREFIX = 'podrate-queues';
let networks: Record<string, PodNetwork>;
let directory: string;
let tc: Tc;
let hub: string;
let logged: Record<string, unknown>[];

beforeAll(async () => {
  await removeNetwork(PREFIX);
  networks = await createNetwork(PREFIX, ['a', 'b']);
  hub = network('a').hubNetnsPath;
  tc = createTc(hub);
  // A directory of this test's own: the machine may have other namespaces with the same addresses.
  directory = await mkdtemp(join(tmpdir(), 'podrate-netns-'));
  for (const name of ['a', 'b']) await symlink(network(name).netnsPath, join(directory, name));
  // A namespace that has no network yet, and a file that is none.
  await execa('ip', ['netns', 'add', `${PREFIX}-empty`]);
  await symlink(`/var/run/netns/${PREFIX}-empty`, join(directory, 'empty'));
  await symlink('/etc/hostname', join(directory, 'nonsense'));
});
afterAll(async () => {
  await removeNetwork(PREFIX);
  if (directory !== undefined) await rm(directory, { recursive: true });
});
beforeEach(() => {
  logged = [];
});
afterEach(async () => {
  for (const name of ['a', 'b']) await tc.batch([`qdisc del dev ${network(name).hubPort} root`]).catch(() => {});
});

function network(name: string): PodNetwork {
  return networks[name] as PodNetwork;
}
function queues(options: { enabled?: boolean; host?: string | undefined } = {}): Queues {
  const log = pino({ base: null }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const { enabled = true } = options;
  return createQueues({
    enabled,
    tc,
    devices: createPodDevices(directory, 'host' in options ? options.host : hub),
    log,
  });
}
const pod = (name: string, ingress?: string) => ({
  ...podOf(uidOf(name.charCodeAt(0)), ingress === undefined ? { egress: '1M' } : { ingress }),
  network: { isHost: false, addresses: [network(name).ipv4, network(name).ipv6] },
});
const rateOf = async (name: string, handle = podHandle) =>
  (await readQueues(tc, handle)).rates.get(network(name).hubPort)?.['1']?.rate;
const bits = (rate: number) => linkRate({ rate, mtu: 1500 });

test('a pod with an ingress limit has a queue of its rate, which goes with the limit', async () => {
  const agent = queues();
  const [a, b] = [pod('a', '1M'), pod('b')];
  expect(await agent.settle([a, b])).toMatchObject({ has: new Set([a.uid]), problems: new Map(), failed: false });
  expect(await rateOf('a')).toBe(bits(1_000_000));
  expect(await rateOf('b')).toBeUndefined();
  expect(logged).toMatchObject([{ queues: [`install ${network('a').hubPort}`] }]);
  expect(await agent.settle([b])).toMatchObject({ has: new Set() });
  expect(await rateOf('a')).toBeUndefined();
});

test('a change of the rate leaves in the queue what waits there', async () => {
  const agent = queues();
  const { netnsPath, ipv4, hubPort } = network('a');
  const refused = async () => {
    const { stdout } = await execa('nsenter', [`--net=${netnsPath}`, 'cat', '/proc/net/snmp']);
    return Number(/^Udp: \d+ (\d+)/m.exec(stdout)?.[1]);
  };
  const waiting = async () =>
    ((await tc.show(`-statistics qdisc show dev ${hubPort}`)) as { qlen: number }[]).map(({ qlen }) => qlen);
  await agent.settle([pod('a', '1K'), pod('b', '2M')]);
  const before = await refused();
  // Datagrams for a port that nobody listens on; six of them take this rate seconds.
  const flood = `for i in 1 2 3 4 5 6; do head -c 1200 /dev/zero > /dev/udp/${ipv4}/9; done`;
  await execa('nsenter', [`--net=${network('b').netnsPath}`, 'bash', '-c', flood]);
  expect(Math.max(...(await waiting()))).toBeGreaterThan(0);
  await agent.settle([pod('a', '2M'), pod('b', '2M')]);
  expect(await rateOf('a')).toBe(bits(2_000_000));
  expect(logged.at(-1)).toMatchObject({ queues: [`change ${hubPort}`] });
  await vi.waitUntil(async () => (await refused()) === before + 6, { timeout: 10_000 });
});

test('an agent that starts anew finds the queues and changes nothing', async () => {
  await queues().settle([pod('a', '1M'), pod('b', '3M')]);
  logged = [];
  expect((await queues().settle([pod('a', '1M'), pod('b', '3M')])).has.size).toBe(2);
  expect(logged).toEqual([]);
});

test("a root queue of somebody else's stays, and it is said whose pod has none", async () => {
  const { hubPort } = network('a');
  await tc.batch([`qdisc add dev ${hubPort} root handle 1: tbf rate 8mbit burst 64k limit 128k`]);
  const agent = queues();
  const a = pod('a', '1M');
  const problem = `${hubPort} has a queue of somebody else's (tbf 1:)`;
  for (let pass = 0; pass < 2; pass += 1) {
    expect(await agent.settle([a])).toMatchObject({
      has: new Set(),
      problems: new Map([[a.uid, problem]]),
      failed: false,
    });
  }
  expect(logged.filter(({ level }) => level === 40)).toMatchObject([{ pod: `default/${a.name}`, problem }]);
  await agent.settle([]);
  const there = (await tc.show(`qdisc show dev ${hubPort}`)) as { kind: string }[];
  expect(there.map(({ kind }) => kind)).toContain('tbf');
});

test('what a killed agent has left halfway is made whole', async () => {
  const { hubPort } = network('a');
  await tc.batch([`qdisc add dev ${hubPort} root handle ${podHandle} htb default 30`]);
  const a = pod('a', '1M');
  expect(await queues().settle([a])).toMatchObject({ has: new Set([a.uid]) });
  expect((await readQueues(tc, podHandle)).roots.get(hubPort)?.leaf).toBe('bfifo');
});

test('classes that a stranger has added are no hindrance', async () => {
  await queues().settle([pod('a', '1M'), pod('b', '1M')]);
  const { hubPort } = network('a');
  await tc.batch([`class add dev ${hubPort} parent ${podHandle}1 classid ${podHandle}77 htb rate 8kbit`]);
  await queues().settle([pod('a', '4M'), pod('b', '1M')]);
  expect([await rateOf('a'), await rateOf('b')]).toEqual([bits(4_000_000), bits(1_000_000)]);
});

test('an agent without the flag takes the queues of an earlier one off, and no others', async () => {
  await queues().settle([pod('a', '1M')]);
  const other = network('b').hubPort;
  await settleQueues(tc, manualHandle, new Map([[other, { rate: 1_000_000, mtu: 1500 }]]), new Set([other]));
  const off = queues({ enabled: false });
  expect(await off.settle([pod('a', '1M')])).toMatchObject({ has: new Set(), problems: new Map() });
  expect([await rateOf('a'), await rateOf('b', manualHandle)]).toEqual([undefined, bits(1_000_000)]);
});

test('uninstalling takes all of them off', async () => {
  await queues().settle([pod('a', '1M')]);
  const other = network('b').hubPort;
  await settleQueues(tc, manualHandle, new Map([[other, { rate: 1_000_000, mtu: 1500 }]]), new Set([other]));
  await removeQueues(tc);
  expect([await rateOf('a'), await rateOf('b', manualHandle)]).toEqual([undefined, undefined]);
});

test('a pod whose device is elsewhere has none, and it is said what the agent needs', async () => {
  const strangers = { ...pod('a', '1M'), network: { isHost: false, addresses: ['192.0.2.7'] } };
  for (const [agent, one] of [
    [queues(), strangers],
    [queues({ host: `/var/run/netns/${PREFIX}-empty` }), pod('a', '1M')],
  ] as const) {
    const { has, problems, failed } = await agent.settle([one]);
    expect({ has: has.size, failed }).toEqual({ has: 0, failed: false });
    expect(problems.get(one.uid)).toContain("the agent needs the node's network (hostNetwork)");
  }
});

test('a device with the same numbers in another namespace is not taken for its own', async () => {
  const { netnsPath, hubPort } = network('a');
  const json = async (...command: string[]) => JSON.parse((await execa('nsenter', command)).stdout);
  const [{ ifindex: inner }] = await json(`--net=${netnsPath}`, 'ip', '-json', 'link', 'show', 'dev', 'eth0');
  const [{ ifindex: outer }] = await json(`--net=${hub}`, 'ip', '-json', 'link', 'show', 'dev', hubPort);
  const [nested, around] = [`${PREFIX}-nested`, `${PREFIX}-around`];
  for (const name of [nested, around]) await execa('ip', ['netns', 'add', name]);
  const ends = `link add eth0 index ${inner} netns ${nested} type veth peer name port index ${outer} netns ${around}`;
  await execa('ip', ends.split(' '));
  await execa('ip', ['-netns', nested, 'address', 'add', '192.0.2.9/24', 'dev', 'eth0']);
  await symlink(`/var/run/netns/${nested}`, join(directory, 'nested'));
  const a = { ...pod('a', '1M'), network: { isHost: false, addresses: ['192.0.2.9'] } };
  expect((await queues().settle([a])).problems.has(a.uid)).toBe(true);
  expect(await rateOf('a')).toBeUndefined();
});

test('of two pods with one address the one that stays counts', async () => {
  const leaving = { ...pod('a', '1M'), uid: uidOf(1), terminating: true };
  const staying = { ...pod('a', '5M'), uid: uidOf(2) };
  await queues().settle([staying, leaving]);
  expect(await rateOf('a')).toBe(bits(5_000_000));
});

test('without tc, or where the kernel refuses, limits are applied all the same and it is tried again', async () => {
  const gone = createTc('/nonexistent');
  const log = pino({ base: null }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const agent = createQueues({ enabled: true, tc: gone, devices: createPodDevices(directory, hub), log });
  const a = pod('a', '1M');
  const { has, problems, failed } = await agent.settle([a]);
  expect({ has: has.size, failed }).toEqual({ has: 0, failed: true });
  expect(problems.get(a.uid)).toContain('/nonexistent');
  expect(logged).toMatchObject([{ msg: 'no queue is in front of a pod: its limit holds by dropping' }]);
});
