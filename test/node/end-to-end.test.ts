import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { changeLabelUnderTraffic } from '../../demo/live-change.ts';
import { type DemoPod, readPod } from '../../demo/pods.ts';
import { installPodrate, startExamples } from '../../demo/steps.ts';
import { steadyBytesPerSecond } from '../../demo/throughput.ts';
import { type Peer, runTraffic } from '../../demo/traffic.ts';
import type { Check } from '../../nodeagent/preflight/checks.ts';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import type { ClusterNode } from '../cluster/access.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { containerStarts, watchAttachments } from './attach-times.ts';
import { busyboxPod } from './busybox-pod.ts';
import { runConfinedAgent } from './confined-agent.ts';
import { podratePrograms, podrateSlots } from './kernel-state.ts';

// One cluster for the whole file: the shipped image and manifests on a real kubelet and containerd.
let cluster: Cluster;
let node: ClusterNode;
let pods: DemoPod[];
let peer: Peer;
let attached: Map<string, number>;

// With the six limited pods of the examples these are twenty, all started at once.
const LIMITED = 20;
const others = Array.from({ length: LIMITED - 6 }, (_, index) => `other-${index}`);

beforeAll(async () => {
  cluster = await startCluster({ nodes: 1, onProgress: (name, text) => console.log(`${name}: ${text}`) });
  node = cluster.nodes[0] as ClusterNode;
  // As in nodes that are containers themselves, and with other init systems than systemd.
  await node.exec('mount --make-private /sys && mount --make-private /sys/fs/bpf');
  await installPodrate(cluster, console.log);
  const watching = watchAttachments(node, LIMITED, 1500);
  await cluster.kubectl(['apply', '-f', '-'], {
    input: others.map((name) => busyboxPod(name, { rate: '2M' })).join('---\n'),
  });
  ({ pods, peer } = await startExamples(cluster, console.log));
  attached = await watching;
});

afterAll(async () => {
  await cluster?.stop();
});

const FLOW_SECONDS = 4;
/** An emulated node has little processor time for a flow while pods start or the machine is busy otherwise. */
const TRIES = 8;

/** Expects each pod to keep its limit in all flows, and to reach at least a part of it in one of some. */
async function expectLimits(direction: 'egress' | 'ingress', atLeast: number): Promise<void> {
  for (const pod of pods) {
    let most = 0;
    for (let flow = 0; flow < TRIES && most <= atLeast; flow += 1) {
      const samples = await runTraffic(cluster, pod, peer, direction, FLOW_SECONDS);
      const share = steadyBytesPerSecond(samples, direction) / pod.limitBytesPerSecond;
      expect(share).toBeLessThan(1.05);
      most = Math.max(most, share);
    }
    expect(most).toBeGreaterThan(atLeast);
  }
}

test('twenty pods started at once are all limited before their first container starts', async () => {
  const limited = ['get', 'pods', '-l', `${shapedLabel}=${shapedValue}`, '-o', 'jsonpath={.items[*].metadata.uid}'];
  const uids = (await cluster.kubectl(limited)).stdout.trim().split(' ');
  const started = await containerStarts(node, uids);
  expect(uids).toHaveLength(LIMITED);
  expect(started.size).toBe(LIMITED);
  const late = uids.filter((uid) => !((attached.get(uid) ?? Number.POSITIVE_INFINITY) < (started.get(uid) ?? 0)));
  expect(late).toEqual([]);
});

describe('the shipped examples', () => {
  test('carry the stamp and the condition of their label', () => {
    expect(pods.map(({ label }) => label)).toEqual(['1M', '5M', '10M']);
    for (const { stamp, condition, limitBytesPerSecond } of pods) {
      expect(JSON.parse(stamp)).toEqual({ egress: limitBytesPerSecond, ingress: limitBytesPerSecond });
      expect(condition).toMatch(/^True/);
    }
  });

  test('say in an event what limits them', async () => {
    const { stdout } = await cluster.kubectl(['describe', 'pod', 'rate-1m']);
    expect(stdout).toMatch(/RateApplied .*podrate\.dev\/agent .*1M/);
  });

  test('send at most, and nearly, their limit', () => expectLimits('egress', 0.8));
  test('receive at most, and nearly, their limit from another pod', () => expectLimits('ingress', 0.75));

  test('follow a changed label without a broken connection', async () => {
    const to = { label: '4M', limitBytesPerSecond: 4_000_000 };
    const change = () => changeLabelUnderTraffic(cluster, pods[0] as DemoPod, peer, to, 12);
    let settled = Number.POSITIVE_INFINITY;
    for (let tries = 0; tries < TRIES && settled > 5; tries += 1) {
      const { connectionsBroken, secondsToSettle = Number.POSITIVE_INFINITY } = await change();
      settled = secondsToSettle;
      await cluster.kubectl(['label', 'pod', 'rate-1m', '--overwrite', 'rate=1M']);
      await expect.poll(async () => (await readPod(cluster, 'rate-1m')).condition, { timeout: 120_000 }).toMatch(/ 1M/);
      expect(connectionsBroken).toBe(0);
    }
    expect(settled).toBeLessThan(5);
  });
});

describe('a node with AppArmor', () => {
  test('confines containers by the default profile of its runtime', async () => {
    expect((await node.exec('cat /sys/module/apparmor/parameters/enabled')).stdout).toBe('Y');
    const profile = ['exec', 'rate-1m', '--', 'cat', '/proc/1/attr/current'];
    expect((await cluster.kubectl(profile)).stdout).toBe('cri-containerd.apparmor.d (enforce)');
  });

  test('has an agent that may write pins, and podrate doctor finds nothing wrong in it', async () => {
    const doctor = ['-n', 'podrate-system', 'exec', 'daemonset/podrate-agent', '--', 'podrate', 'doctor', '--json'];
    const checks: Check[] = JSON.parse((await cluster.kubectl(doctor)).stdout);
    expect(checks.find(({ name }) => name === 'bpffs')?.found).toContain('can be written');
    expect(checks.filter(({ result }) => result === 'failed')).toEqual([]);
  });

  test('ends an agent under the default profile, whose log names AppArmor and the remedy', async () => {
    expect((await runConfinedAgent(cluster)).at(-1)).toMatchObject({
      level: 60,
      check: 'bpffs',
      msg: expect.stringContaining('AppArmor forbids it, by the profile cri-containerd.apparmor.d'),
      remedy: expect.stringContaining('set appArmorProfile.type to Unconfined'),
    });
  });
});

describe('an agent that is killed', () => {
  test('leaves the limits in force, and its successor adopts them with their counters', async () => {
    const before = await podratePrograms(node);
    const [pod] = pods as [DemoPod];
    const traffic = runTraffic(cluster, pod, peer, 'egress', FLOW_SECONDS * 5);
    await sleep(5000);
    await node.exec("kill -KILL $(pgrep -f '^node .*nodeagent/main.js')");
    const share = steadyBytesPerSecond(await traffic, 'egress') / pod.limitBytesPerSecond;
    expect(share).toBeLessThan(1.05);
    expect(share).toBeGreaterThan(0.8);
    await cluster.kubectl(['-n', 'podrate-system', 'rollout', 'status', 'daemonset/podrate-agent', '--timeout=300s']);
    await cluster.kubectl(['label', 'pod', 'rate-5m', '--overwrite', 'rate=6M']);
    expect(JSON.parse((await readPod(cluster, 'rate-5m')).stamp)).toEqual({ egress: 6_000_000, ingress: 6_000_000 });
    await expect.poll(async () => (await readPod(cluster, 'rate-5m')).condition, { timeout: 120_000 }).toMatch(/6M/);
    expect(await podratePrograms(node)).toEqual(before);
  });
});

describe('a pod with a code point', () => {
  const pod = 'marked';
  const get = async (path: string) => (await cluster.kubectl(['get', 'pod', pod, '-o', `jsonpath={${path}}`])).stdout;
  const message = () => get('.status.conditions[?(@.type=="podrate.dev/Limited")].message');
  const agentFile = async (path: string) =>
    (await cluster.kubectl(['-n', 'podrate-system', 'exec', 'daemonset/podrate-agent', '--', 'cat', path])).stdout;
  const ping = (address: string) =>
    cluster.kubectl(['exec', pod, '--', 'ping', '-c', '3', '-i', '0.2', address], { reject: false });

  test('is told to add the component namespaces, without which the agent has no CAP_SYS_ADMIN', async () => {
    const status = await agentFile('/proc/1/status');
    const effective = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(status)?.[1]}`);
    // NET_ADMIN, PERFMON and BPF: include/uapi/linux/capability.h.
    expect(effective).toBe((1n << 12n) | (1n << 38n) | (1n << 39n));
    await cluster.kubectl(['apply', '-f', '-'], { input: busyboxPod(pod, {}, { 'podrate.dev/dscp': 'EF' }) });
    await expect.poll(message, { timeout: 300_000 }).toContain('add the component manifests/namespaces');
    const component = await readFile(new URL('../../manifests/namespaces/kustomization.yaml', import.meta.url), 'utf8');
    const patch = JSON.stringify(parse(parse(component).patches[0].patch));
    const daemonSet = ['-n', 'podrate-system', 'patch', 'daemonset', 'podrate-agent', '--type=json', '-p', patch];
    await cluster.kubectl(daemonSet);
    await cluster.kubectl(['-n', 'podrate-system', 'rollout', 'status', 'daemonset/podrate-agent', '--timeout=300s']);
  });

  test('sends packets that tcpdump, nft and tc on the node see marked, without a limit', async () => {
    await expect
      .poll(message, { timeout: 300_000 })
      .toBe('The pod sends without limit and receives without limit. Its packets carry the code point 46 (EF).');
    const address = await get('.status.podIP');
    const link = (await cluster.kubectl(['exec', pod, '--', 'cat', '/sys/class/net/eth0/iflink'])).stdout.trim();
    const device = (await node.exec(`ip -o link | sed -n 's/^${link}: \\([^@:]*\\).*/\\1/p'`)).stdout.trim();
    await node.exec(`
      nft add table ip marks
      nft 'add chain ip marks seen { type filter hook prerouting priority raw; }'
      nft add rule ip marks seen ip saddr ${address} ip dscp ef counter
      tc qdisc add dev ${device} clsact
      tc filter add dev ${device} ingress protocol ip flower ip_tos 0xb8/0xfc action pass`);
    const filter = `src host ${address} and (ip[1] & 0xfc == 0xb8 or ip6[0:2] & 0xfc0 == 0xb80)`;
    const find = `for file in /run/netns/*; do nsenter --net=$file ip -o address | grep -qF ' ${address}/' && echo $file; done`;
    const own = (await node.exec(find)).stdout;
    const sniffed = [`tcpdump -i ${device}`, `nsenter --net=${own} tcpdump -i eth0`].map((command) =>
      node.exec(`timeout 30 ${command} -nnv -c 3 '${filter}' 2>&1`),
    );
    await sleep(2000);
    await ping(node.address);
    for (const { stdout } of await Promise.all(sniffed)) expect(stdout.match(/tos 0xb8/g)).toHaveLength(3);
    expect((await node.exec('nft list table ip marks')).stdout).toMatch(/ip dscp ef counter packets [1-9]/);
    const { stdout } = await node.exec(`tc -s filter show dev ${device} ingress`);
    expect(stdout).toMatch(/Sent \d+ bytes [1-9]\d* pkt/);
    await node.exec(`nft delete table ip marks; tc qdisc delete dev ${device} clsact`);
  });

  test('follows its annotation while it runs', async () => {
    await cluster.kubectl(['annotate', 'pod', pod, '--overwrite', 'podrate.dev/dscp=cs1']);
    await expect.poll(message, { timeout: 120_000 }).toContain('the code point 8 (CS1)');
    await cluster.kubectl(['annotate', 'pod', pod, '--overwrite', 'podrate.dev/dscp=EF']);
    await expect.poll(message, { timeout: 120_000 }).toContain('the code point 46 (EF)');
  });
});

describe('pods that are deleted', () => {
  test('leave nothing in the kernel', async () => {
    const before = await podrateSlots(node);
    await cluster.kubectl(['delete', 'pod', ...others.slice(0, 3), '--timeout=300s']);
    await expect.poll(() => podrateSlots(node), { timeout: 120_000, interval: 1000 }).toBe(before - 3);
  });
});

describe('removing podrate', () => {
  test('takes every limit off the node and leaves no pin', async () => {
    const patch = new URL('../../manifests/uninstall/agents.yaml', import.meta.url).pathname;
    await cluster.kubectl(['delete', 'mutatingwebhookconfiguration,validatingwebhookconfiguration', 'podrate']);
    await cluster.kubectl(['-n', 'podrate-system', 'patch', 'daemonset', 'podrate-agent', '--patch-file', patch]);
    await cluster.kubectl(['-n', 'podrate-system', 'rollout', 'status', 'daemonset/podrate-agent', '--timeout=300s']);
    expect(await podratePrograms(node)).toEqual([]);
    expect((await node.exec('ls /sys/fs/bpf')).stdout).not.toContain('podrate');
    const programs = async () => (await node.exec('bpftool prog show')).stdout;
    await expect.poll(programs, { timeout: 120_000 }).not.toContain('podrate_dscp');
  });
});
