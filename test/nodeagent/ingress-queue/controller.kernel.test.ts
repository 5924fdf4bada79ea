import { mkdir, rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { execa } from 'execa';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { createQueues, type Queues } from '../../../nodeagent/ingress-queue/controller.ts';
import { manualHandle, podHandle, putQueue, type Queue } from '../../../nodeagent/ingress-queue/htb.ts';
import { removeQueues, settleQueues } from '../../../nodeagent/ingress-queue/settle.ts';
import { explainQueueError, NoQueuesError, tryQueue } from '../../../nodeagent/ingress-queue/support.ts';
import { openMap } from '../../../nodeagent/libbpf/map.ts';
import { inNetworkNamespace } from '../../../nodeagent/libbpf/namespace.ts';
import { type Netlink, NetlinkError, withNetlink } from '../../../nodeagent/net/netlink.ts';
import { configOfLimit } from '../../../nodeagent/pods/desired.ts';
import { ownerOf } from '../../../nodeagent/pods/owner.ts';
import { classifierProgram } from '../../../nodeagent/shaper/hooks.ts';
import { encodeConfig, encodeU32 } from '../../../nodeagent/shaper/layout.ts';
import type { Classifier } from '../../../nodeagent/shaper/shaper.ts';
import type { SlotState } from '../../../nodeagent/shaper/steps.ts';
import { parseRate } from '../../../rate/rate.ts';
import { mountBpffs } from '../../lab/bpffs.ts';
import { createNetwork, type PodNetwork, removeNetwork } from '../../lab/network.ts';
import { tcBatch, tcShow } from '../../lab/tc.ts';
import { podOf, uidOf } from '../pods.ts';
import { indexOf, queueOn } from '../queues.ts';
import { objectFile } from '../scene.ts';

const PREFIX = 'podrate-queues';
const pins = `/sys/fs/bpf/${PREFIX}`;
let networks: Record<string, PodNetwork>;
let hub: string;
let classifier: Classifier;
/** The same program of another generation. */
let older: Classifier;
let logged: Record<string, unknown>[];

beforeAll(async () => {
  await removeNetwork(PREFIX);
  await mountBpffs();
  await rm(pins, { recursive: true, force: true });
  older = await load('older');
  classifier = await load('current');
  networks = await createNetwork(PREFIX, ['a', 'b']);
  hub = network('a').hubNetnsPath;
  // A namespace that has no network yet, and a file that is none.
  await execa('ip', ['netns', 'add', `${PREFIX}-empty`]);
});
afterAll(async () => {
  await removeNetwork(PREFIX);
  await rm(pins, { recursive: true, force: true });
});
beforeEach(() => {
  logged = [];
});
afterEach(async () => {
  for (const name of ['a', 'b']) await tcBatch(hub, [`qdisc del dev ${network(name).hubPort} root`]).catch(() => {});
});

function network(name: string): PodNetwork {
  return networks[name] as PodNetwork;
}
async function load(name: string): Promise<Classifier> {
  const programs = `${pins}/${name}`;
  await mkdir(programs, { recursive: true });
  await execa('bpftool', ['prog', 'loadall', objectFile, programs, 'pinmaps', `${programs}/maps`]);
  const file = `${programs}/${classifierProgram}`;
  const { stdout } = await execa('bpftool', ['-j', 'prog', 'show', 'pinned', file]);
  return { file, id: JSON.parse(stdout).id };
}
/** Tells the classifier the rate of a slot: of others it lets everything pass. */
async function writeRate(slot: number, rate: string): Promise<void> {
  const config = encodeConfig(configOfLimit({ ingress: parseRate(rate) }));
  const map = openMap(`${pins}/current/maps/podrate_configs`);
  map.update(encodeU32(slot), config);
  map.close();
}
const log = () => pino({ base: null }, { write: (line: string) => void logged.push(JSON.parse(line)) });
function queues(options: { enabled?: boolean; host?: string; program?: Classifier; bypassing?: Owner[] } = {}): Queues {
  const { enabled = true, host = hub, program = classifier, bypassing = [] } = options;
  const shaper = {
    classifier: () => program,
    bypassing: (slots: readonly SlotState[]) => slots.filter(({ owner }) => bypassing.includes(owner)),
  };
  return createQueues({ enabled, namespace: host, shaper, log: log() });
}
type Owner = SlotState['owner'];
const pod = (name: string, ingress?: string) => ({
  ...podOf(uidOf(name.charCodeAt(0)), ingress === undefined ? { egress: '1M' } : { ingress }),
  network: { isHost: false, addresses: [network(name).ipv4, network(name).ipv6] },
});
type Pod = ReturnType<typeof pod>;
/** The slots that pods hold; the number of the first one is given. */
const slotsOf = (pods: readonly Pod[], first = 1): SlotState[] =>
  pods.map((one, index) => ({
    slot: first + index,
    cgroupId: BigInt(index),
    owner: ownerOf(one),
    isAlive: true,
    isMapped: true,
    attached: new Map(),
    config: configOfLimit(one.limit instanceof Error ? {} : one.limit),
  }));
const settle = async (agent: Queues, pods: readonly Pod[], first?: number, full = true) =>
  agent.settle(pods, slotsOf(pods, first), full);
const queueOf = (rate: number, slot = 1, program = classifier): Queue => ({
  rate,
  mtu: 1500,
  slot,
  classifier: program,
});
const port = (name: string) => indexOf(network(name).hubPort, hub);
const found = (name: string, handle = podHandle) => queueOn(network(name).hubPort, handle, hub);
/** The rate of a whole queue. */
const rateOf = async (name: string, handle = podHandle) => found(name, handle)?.rate;
/** Makes a queue by hand on the device of pod b. */
const putManual = () =>
  settleQueues(
    { namespace: hub, handle: manualHandle, pick: ({ index }) => index === port('b') },
    new Map([[port('b'), queueOf(1e6)]]),
  );
/**
 * Makes a queue with a process that is killed after some changes.
 * @returns whether it was killed
 */
function putKilled(name: string, queue: Queue, isThere: boolean, changes: number): boolean {
  let done = 0;
  const killed = new Error('killed');
  try {
    withNetlink(hub, (netlink) => {
      const change: Netlink['change'] = (...message) => {
        done += 1;
        if (done > changes) throw killed;
        netlink.change(...message);
      };
      putQueue({ ...netlink, change }, port(name), podHandle, queue, isThere);
    });
    return false;
  } catch (error) {
    if (error !== killed) throw error;
    return true;
  }
}
/** What the kernel says of the classes, a line each. */
const classesOf = async (name: string) => {
  const { stdout } = await execa('nsenter', [`--net=${hub}`, 'tc', 'class', 'show', 'dev', network(name).hubPort]);
  return stdout.split('\n').sort();
};

test('a pod with an ingress limit has a queue of its rate and slot, which goes with the limit', async () => {
  const agent = queues();
  const [a, b] = [pod('a', '1M'), pod('b')];
  expect(await settle(agent, [a, b], 31)).toEqual({ has: new Set([a.uid]), problems: new Map(), failed: false });
  expect(await rateOf('a')).toBe(1e6);
  expect(found('a')).toMatchObject({ programId: classifier.id, slot: 31 });
  expect((await classesOf('a')).join()).toMatch(/7064:1 root rate 8074Kbit ceil 8074Kbit .*7064:20 .* rate 4037/s);
  expect(await rateOf('b')).toBeUndefined();
  expect(logged).toMatchObject([{ msg: 'queues changed', put: [port('a')], removed: [] }]);
  expect(await settle(agent, [b])).toMatchObject({ has: new Set() });
  expect(await rateOf('a')).toBeUndefined();
});

test('a pod without a slot in force has no queue yet', async () => {
  const a = pod('a', '1M');
  const [slot] = slotsOf([a]);
  const others = slot ? [{ ...slot, isMapped: false }] : [];
  expect(await queues().settle([a], others, true)).toMatchObject({
    has: new Set(),
    problems: new Map(),
    failed: false,
  });
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
    ((await tcShow(hub, `-statistics qdisc show dev ${hubPort}`)) as { qlen: number }[]).map(({ qlen }) => qlen);
  await settle(agent, [pod('a', '1K'), pod('b', '2M')]);
  await writeRate(1, '1K');
  const before = await refused();
  // Datagrams for a port that nobody listens on. After a burst of 32 KB they take this rate seconds.
  const flood = `for i in {1..48}; do head -c 1200 /dev/zero > /dev/udp/${ipv4}/9; done`;
  await execa('nsenter', [`--net=${network('b').netnsPath}`, 'bash', '-c', flood]);
  expect(Math.max(...(await waiting()))).toBeGreaterThan(0);
  await settle(agent, [pod('a', '2M'), pod('b', '2M')]);
  expect(await rateOf('a')).toBe(2e6);
  expect(logged.at(-1)).toMatchObject({ put: [port('a')], removed: [] });
  await vi.waitUntil(async () => (await refused()) === before + 48, { timeout: 10_000 });
});

test('a pass in which nothing else is asked for leaves the devices alone, unless it is a thorough one', async () => {
  const agent = queues();
  const a = pod('a', '1M');
  await settle(agent, [a]);
  await tcBatch(hub, [`qdisc del dev ${network('a').hubPort} root`]);
  expect((await settle(agent, [a], 1, false)).has.size).toBe(1);
  expect(await rateOf('a')).toBeUndefined();
  await settle(agent, [pod('a', '2M')], 1, false);
  expect(await rateOf('a')).toBe(2e6);
  await tcBatch(hub, [`qdisc del dev ${network('a').hubPort} root`]);
  await settle(agent, [pod('a', '2M')]);
  expect(await rateOf('a')).toBe(2e6);
});

test('an agent that starts anew finds the queues and changes nothing', async () => {
  await settle(queues(), [pod('a', '1M'), pod('b', '3M')]);
  logged = [];
  expect((await settle(queues(), [pod('a', '1M'), pod('b', '3M')])).has.size).toBe(2);
  expect(logged).toEqual([]);
});

test('an agent with another generation, and a pod with another slot, replace the filter and nothing else', async () => {
  const a = pod('a', '1M');
  await settle(queues({ program: older }), [a], 7);
  expect(found('a')).toMatchObject({ programId: older.id, slot: 7 });
  const classes = await classesOf('a');
  await settle(queues(), [a], 9);
  expect(found('a')).toMatchObject({ programId: classifier.id, slot: 9 });
  const { stdout } = await execa('nsenter', [
    ...[`--net=${hub}`, 'tc', 'filter', 'show', 'dev', network('a').hubPort, 'parent', '7064:'],
  ]);
  expect(stdout.match(/ flowid /g)).toHaveLength(1);
  expect(await classesOf('a')).toEqual(classes);
});

test('the root qdisc of another program stays, and the pod is told the remedy', async () => {
  const { hubPort } = network('a');
  await tcBatch(hub, [`qdisc add dev ${hubPort} root handle 1: tbf rate 8mbit burst 64k limit 128k`]);
  const agent = queues();
  const a = pod('a', '1M');
  const problem =
    `another program has installed a root qdisc on ${hubPort} (tbf 1:): ` +
    `remove it (tc qdisc del dev ${hubPort} root) and whatever installs it`;
  for (let pass = 0; pass < 2; pass += 1) {
    expect(await settle(agent, [a])).toEqual({ has: new Set(), problems: new Map([[a.uid, problem]]), failed: false });
  }
  expect(logged.filter(({ level }) => level === 40)).toMatchObject([{ pod: `default/${a.name}`, problem }]);
  await settle(agent, []);
  const there = (await tcShow(hub, `qdisc show dev ${hubPort}`)) as { kind: string }[];
  expect(there.map(({ kind }) => kind)).toContain('tbf');
});

test('wherever the making of a queue was interrupted, the next agent makes it whole', async () => {
  const a = pod('a', '1M');
  let done = 1;
  for (; putKilled('a', queueOf(1e6), false, done); done += 1) {
    expect(await settle(queues(), [a])).toMatchObject({ has: new Set([a.uid]), failed: false });
    expect(found('a')).toMatchObject({ rate: 1e6, programId: classifier.id, slot: 1 });
    await settle(queues(), []);
  }
  // The root, five classes, four leaves, the filter.
  expect(done).toBe(11);
});

test('wherever a change was interrupted, the next agent finishes it or takes it back', async () => {
  await settle(queues(), [pod('a', '1M')]);
  const slow = await classesOf('a');
  await settle(queues(), [pod('a', '4M')]);
  const fast = await classesOf('a');
  for (let [done, isKilled] = [0, true]; isKilled; done += 1) {
    for (const [rate, classes] of [
      ['4M', fast],
      ['1M', slow],
    ] as const) {
      await settle(queues(), [pod('a', '4M')]);
      isKilled = putKilled('a', queueOf(1e6), true, done);
      await settle(queues(), [pod('a', rate)]);
      expect(await classesOf('a')).toEqual(classes);
      expect(await rateOf('a')).toBe(rate === '4M' ? 4e6 : 1e6);
    }
  }
});

test('the queue of an earlier version is made anew', async () => {
  const { hubPort } = network('a');
  await tcBatch(hub, [
    `qdisc add dev ${hubPort} root handle 7064: htb default 30`,
    `class add dev ${hubPort} parent 7064: classid 7064:1 htb rate 8mbit`,
    `class add dev ${hubPort} parent 7064:1 classid 7064:10 htb rate 1mbit`,
    `filter add dev ${hubPort} parent 7064: protocol ip prio 1 u32 match u16 0 0xffff at 2 flowid 7064:10`,
    `qdisc add dev ${hubPort} parent 7064:10 handle 8064: pfifo limit 100`,
  ]);
  expect((await settle(queues(), [pod('a', '1M')])).has.size).toBe(1);
  expect(found('a')).toMatchObject({ rate: 1e6, programId: classifier.id });
});

test('a pod that receives past its queue has it, and is told', async () => {
  const a = pod('a', '1M');
  const slots = slotsOf([a]).map((slot) => ({ ...slot, config: { ...slot.config, queued: true } }));
  const { has, problems } = queues({ bypassing: [ownerOf(a)] }).settle([a], slots, true);
  expect([...has]).toEqual([a.uid]);
  expect(problems.get(a.uid)).toContain("switch off the network plugin's host routing");
});

test('classes that another program has added do not hinder a change', async () => {
  await settle(queues(), [pod('a', '1M'), pod('b', '1M')]);
  const { hubPort } = network('a');
  await tcBatch(hub, [`class add dev ${hubPort} parent 7064:1 classid 7064:77 htb rate 8kbit`]);
  await settle(queues(), [pod('a', '4M'), pod('b', '1M')]);
  expect([await rateOf('a'), await rateOf('b')]).toEqual([4e6, 1e6]);
});

test('a device that is gone and came again under its name gets the queue of the pod that has it now', async () => {
  const [nested, port] = [`${PREFIX}-reused`, 'port-reused'];
  await execa('ip', ['netns', 'add', nested]);
  const inHub = (...words: string[]) => execa('ip', ['-netns', `${PREFIX}-hub`, ...words]);
  const inNested = (...words: string[]) => execa('ip', ['-netns', nested, ...words]);
  const connect = async (address: string) => {
    await inHub('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', nested);
    await inNested('address', 'add', `${address}/24`, 'dev', 'eth0');
  };
  const at = (address: string, uid: number, rate: string) => ({
    ...podOf(uidOf(uid), { ingress: rate }),
    network: { isHost: false, addresses: [address] },
  });
  try {
    await connect('192.0.2.21');
    expect((await settle(queues(), [at('192.0.2.21', 21, '1M')])).has.size).toBe(1);
    await inHub('link', 'del', port);
    await connect('192.0.2.22');
    const later = at('192.0.2.22', 22, '2M');
    expect((await settle(queues(), [at('192.0.2.21', 21, '1M'), later])).has).toEqual(new Set([later.uid]));
    expect(queueOn(port, podHandle, hub)).toMatchObject({ programId: classifier.id, slot: 2 });
  } finally {
    await execa('ip', ['netns', 'delete', nested]);
  }
});

test('an agent whose queues are switched off removes those of an earlier one, no others, and says so', async () => {
  await settle(queues(), [pod('a', '1M')]);
  putManual();
  const off = queues({ enabled: false });
  const a = pod('a', '1M');
  const { has, problems, failed } = await settle(off, [a]);
  expect({ has: has.size, failed }).toEqual({ has: 0, failed: false });
  expect(problems.get(a.uid)).toContain('queues are switched off (--ingress-queue');
  expect([await rateOf('a'), await rateOf('b', manualHandle)]).toEqual([undefined, 1e6]);
});

test('uninstalling removes all queues', async () => {
  await settle(queues(), [pod('a', '1M')]);
  putManual();
  // Those of the process's own namespace.
  inNetworkNamespace(hub, removeQueues);
  expect([await rateOf('a'), await rateOf('b', manualHandle)]).toEqual([undefined, undefined]);
});

test('a pod whose device cannot be found has no queue, and is told what is missing', async () => {
  const elsewhere = { ...pod('a', '1M'), network: { isHost: false, addresses: ['192.0.2.7'] } };
  const onHost = { ...pod('a', '1M'), network: { isHost: true, addresses: [network('a').ipv4] } };
  for (const [agent, one, problem] of [
    [queues(), elsewhere, "no veth of the agent's network leads to its address"],
    [queues({ host: `/var/run/netns/${PREFIX}-empty` }), pod('a', '1M'), 'the agent needs hostNetwork'],
    [queues(), onHost, 'with hostNetwork it has no device of its own'],
  ] as const) {
    const { has, problems, failed } = await settle(agent, [one]);
    expect({ has: has.size, failed }).toEqual({ has: 0, failed: false });
    expect(problems.get(one.uid)).toContain(problem);
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
  const a = { ...pod('a', '1M'), network: { isHost: false, addresses: ['192.0.2.9'] } };
  expect((await settle(queues(), [a])).problems.has(a.uid)).toBe(true);
  expect(await rateOf('a')).toBeUndefined();
});

test('an address that two namespaces have is nobody’s, because a pod may have taken it from another', async () => {
  await execa('nsenter', [`--net=${network('b').netnsPath}`, 'ip', 'address', 'add', '192.0.2.40/32', 'dev', 'eth0']);
  await execa('nsenter', [`--net=${network('a').netnsPath}`, 'ip', 'address', 'add', '192.0.2.40/32', 'dev', 'eth0']);
  const a = { ...pod('a', '1M'), network: { isHost: false, addresses: ['192.0.2.40'] } };
  expect((await settle(queues(), [a])).problems.get(a.uid)).toContain('two network namespaces have its address');
  for (const name of ['a', 'b']) {
    const inside = [`--net=${network(name).netnsPath}`, 'ip', 'address', 'del', '192.0.2.40/32', 'dev', 'eth0'];
    await execa('nsenter', inside);
  }
});

test('of two pods with one address the one that stays counts', async () => {
  const leaving = { ...pod('a', '1M'), uid: uidOf(1), cgroupUid: uidOf(1), terminating: true };
  const staying = { ...pod('a', '5M'), uid: uidOf(2), cgroupUid: uidOf(2) };
  await settle(queues(), [staying, leaving]);
  expect(await rateOf('a')).toBe(5e6);
  expect(found('a')).toMatchObject({ slot: 1 });
});

test('a queue that cannot be completed is removed again, because half a queue limits nothing', async () => {
  const a = pod('a', '1M');
  const { problems, failed } = await settle(queues({ program: { file: '/nonexistent/podrate_queue', id: 1 } }), [a]);
  expect(failed).toBe(true);
  expect(problems.get(a.uid)).toContain(network('a').hubPort);
  expect(logged.at(-1)).toMatchObject({ msg: 'what a pod receives is policed, not queued' });
  const there = (await tcShow(hub, `qdisc show dev ${network('a').hubPort}`)) as { kind: string }[];
  expect(there.map(({ kind }) => kind)).not.toContain('htb');
});

test('what the kernel lacks is told with the remedy', () => {
  // What Linux 6.18 answers about a qdisc that it does not have.
  const error = explainQueueError(new NetlinkError(constants.errno.ENOENT, 'Specified qdisc kind is unknown'));
  expect(error).toBeInstanceOf(NoQueuesError);
  expect(error.message).toContain('modprobe -a sch_htb cls_bpf');
});

test('the machine that runs the tests can have queues, which is found out without touching its devices', async () => {
  expect(tryQueue()).toBeUndefined();
});
