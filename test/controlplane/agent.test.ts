import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { observe } from '../../nodeagent/shaper/observe.ts';
import { digestOf, pinsIn } from '../../nodeagent/shaper/pins.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { programsOf } from '../lab/attached.ts';
import { findCgroup2, removeCgroup } from '../lab/cgroups.ts';
import { inNetns, makeNetnsDirectory, type NetnsDirectory } from '../nodeagent/netns.ts';
import { type HostAgent, hostAgent } from './agent-on-host.ts';
import { type Driver, type KubeletPod, kubeletCgroups } from './kubelet-cgroups.ts';
import { type HostWebhook, installWebhook } from './webhook.ts';

const node = 'agent-node';
const name = `podrate-test-agent-${process.pid}`;
const pinDir = `/sys/fs/bpf/${name}`;
const objectFile = new URL('../../bpf/shaper.bpf.o', import.meta.url).pathname;
const ours = ['podrate_egress', 'podrate_ingress', 'podrate_sockops'];
let cluster: Cluster;
let webhook: HostWebhook;
let agent: HostAgent;
let root: string;
let netns: NetnsDirectory;

beforeAll(async () => {
  netns = await makeNetnsDirectory();
  root = join(await findCgroup2(), name);
  await mkdir(root);
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  for (const nodeName of [node, 'other-node']) {
    await apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName } });
  }
  agent = hostAgent(cluster, { node, root, pinDir, netnsDir: netns.path });
  await agent.start();
  await agent.ready();
});

afterAll(async () => {
  await agent?.kill('SIGTERM');
  await webhook?.stop();
  await cluster?.stop();
  await removeCgroup(root);
  await netns?.end();
  await execa('rm', ['-rf', pinDir]);
});

const apply = (manifest: object) => cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(manifest) });

interface ApiPod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly qosClass: KubeletPod['qosClass'];
    readonly conditions?: { type: string; status: string; reason: string; message: string }[];
  };
}

function podManifest(podName: string, rate: string | undefined, qosClass: KubeletPod['qosClass'], nodeName = node) {
  const amounts = { cpu: '10m', memory: '16Mi' };
  const resources = {
    Guaranteed: { requests: amounts, limits: amounts },
    Burstable: { requests: amounts },
    BestEffort: {},
  }[qosClass];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: podName, ...(rate !== undefined && { labels: { rate } }) },
    spec: { nodeName, containers: [{ name: 'web', image: 'web', resources }] },
  };
}

async function getPod(podName: string): Promise<ApiPod> {
  return JSON.parse((await cluster.kubectl(['get', 'pod', podName, '-o', 'json'])).stdout);
}

const kubeletPod = ({ metadata, status }: ApiPod): KubeletPod => ({ uid: metadata.uid, qosClass: status.qosClass });

/** Creates a pod on the node, and its cgroup as its kubelet would. */
async function startPod(
  podName: string,
  rate?: string,
  qosClass: KubeletPod['qosClass'] = 'Burstable',
  driver: Driver = 'systemd',
) {
  await apply(podManifest(podName, rate, qosClass));
  const pod = kubeletPod(await getPod(podName));
  const cgroups = kubeletCgroups(root, driver);
  const path = await cgroups.make(pod);
  const end = async () => {
    await cluster.kubectl(['delete', 'pod', podName, '--grace-period=0', '--force']);
    await cgroups.remove(pod);
  };
  return { path, end, uid: pod.uid };
}

async function condition(podName: string) {
  const found = (await getPod(podName)).status.conditions?.find(({ type }) => type === 'podrate.dev/Limited');
  return found && { status: found.status, reason: found.reason, message: found.message };
}

/** The events about a pod that the agent wrote, in their order. */
async function events(podName: string) {
  const select = `regarding.name=${podName},reportingController=podrate.dev/agent`;
  const { stdout } = await cluster.kubectl(['get', 'events.events.k8s.io', '--field-selector', select, '-o', 'json']);
  const items: { type: string; reason: string; note: string; eventTime: string }[] = JSON.parse(stdout).items;
  return items
    .toSorted((one, other) => (one.eventTime < other.eventTime ? -1 : 1))
    .map(({ type, reason, note }) => ({ type, reason, note }));
}

const inForce = (message: string) => ({ status: 'True', reason: 'InForce', message });
const both = (rate: string, bytes: number) =>
  inForce(`The pod sends at most ${rate} (${bytes} bytes/s) and receives at most ${rate} (${bytes} bytes/s).`);

async function attached(path: string): Promise<string[]> {
  const programs = await programsOf(path);
  return programs.map((program) => program.name).sort();
}

/** What the kernel holds: limits by owner. */
function kernel() {
  const slots = observe(pinsIn(pinDir), digestOf(objectFile));
  const limits = slots.map(({ owner, config, isMapped }) => [owner, { ...rates(config), isMapped }] as const);
  return { limits: Object.fromEntries(limits) };
}
const rates = (config: { egress: { rate: number }; ingress: { rate: number } }) => ({
  egress: config.egress.rate,
  ingress: config.ingress.rate,
});

const eventually = <T>(check: () => T | Promise<T>, timeout = 60_000) => vi.waitFor(check, { timeout, interval: 100 });

describe('a stamped pod of the node', () => {
  const cases = (['cgroupfs', 'systemd'] as const).flatMap((driver) =>
    (['Guaranteed', 'Burstable', 'BestEffort'] as const).map((qosClass) => [qosClass, driver] as const),
  );
  test.each(cases)(
    'of class %s under the %s driver is limited, and its condition says so',
    async (qosClass, driver) => {
      const podName = `${qosClass.toLowerCase()}-${driver}`;
      const pod = await startPod(podName, '1M', qosClass, driver);
      await eventually(async () => expect(await condition(podName)).toEqual(both('1M', 1_000_000)));
      expect(await attached(pod.path)).toEqual(ours);
      expect((await kernel()).limits[`pod/${pod.uid}`]).toEqual({
        egress: 1_000_000,
        ingress: 1_000_000,
        isMapped: true,
      });
      await pod.end();
      await eventually(async () => expect((await kernel()).limits).toEqual({}));
    },
  );

  test('has the programs within a moment after its cgroup appears', async () => {
    await apply(podManifest('quick', '1M', 'Burstable'));
    const pod = kubeletPod(await getPod('quick'));
    const cgroups = kubeletCgroups(root, 'systemd');
    const path = await cgroups.make(pod);
    await eventually(async () => expect(await attached(path)).toEqual(ours));
    await cluster.kubectl(['delete', 'pod', 'quick', '--grace-period=0', '--force']);
    await cgroups.remove(pod);
  });

  test('follows its label while it runs, by config alone', async () => {
    const pod = await startPod('live', '1M');
    await eventually(async () => expect(await condition('live')).toEqual(both('1M', 1_000_000)));
    const before = await programsOf(pod.path);
    await cluster.kubectl(['label', 'pod', 'live', '--overwrite', 'rate=5M', 'rate-ingress=none']);
    const message = 'The pod sends at most 5M (5000000 bytes/s) and receives without limit.';
    await eventually(async () => expect(await condition('live')).toEqual(inForce(message)));
    expect((await kernel()).limits[`pod/${pod.uid}`]).toEqual({ egress: 5_000_000, ingress: 0, isMapped: true });
    expect(await programsOf(pod.path)).toEqual(before);
    await eventually(async () =>
      expect(await events('live')).toEqual([
        { type: 'Normal', reason: 'RateApplied', note: both('1M', 1_000_000).message },
        { type: 'Normal', reason: 'RateUpdated', note: message },
      ]),
    );
    const { stdout } = await cluster.kubectl(['describe', 'pod', 'live']);
    expect(stdout).toMatch(/Normal +RateUpdated .* podrate.dev\/agent +The pod sends at most 5M/);
    await pod.end();
  });

  test('that loses its label is set free, and told so', async () => {
    const pod = await startPod('freed', '1M');
    await eventually(async () => expect(await attached(pod.path)).toEqual(ours));
    await cluster.kubectl(['label', 'pod', 'freed', 'rate-']);
    await eventually(async () => expect(await attached(pod.path)).toEqual([]));
    await eventually(async () =>
      expect(await condition('freed')).toEqual({
        status: 'False',
        reason: 'NoLimit',
        message: 'The pod asks for no limit, and none is in force.',
      }),
    );
    await eventually(async () =>
      expect((await events('freed')).map(({ reason }) => reason)).toEqual(['RateApplied', 'RateRemoved']),
    );
    await pod.end();
  });

  test('shows up in the metrics while it lives and not after', async () => {
    const pod = await startPod('counted', '1M');
    const limit = `podrate_pod_limit_bytes_per_second{namespace="default",pod="counted",uid="${pod.uid}",direction="egress"} 1000000`;
    await eventually(async () => expect(await agent.page('/metrics')).toContain(limit));
    expect(await agent.page('/metrics')).toMatch(/podrate_pod_bytes_total\{.*pod="counted".*verdict="dropped"\} 0/);
    await pod.end();
    await eventually(async () => expect(await agent.page('/metrics')).not.toContain('pod="counted"'));
  });
});

describe('a pod with a code point', () => {
  const message = (dscp: string, limits = 'sends without limit and receives without limit') =>
    `The pod ${limits}. Its packets carry the code point ${dscp}.`;
  /** The test's namespaces have both ends of their devices. */
  const policed =
    " Receiving is policed, not queued: no veth of the agent's network leads to its address: " +
    'the agent needs hostNetwork, and the pod a veth of its own.';
  const marks = async (file: string) => (await inNetns(file, 'tc', 'filter', 'show', 'dev', 'eth0', 'egress')).trim();
  /** What a kubelet does once the network plugin is done. */
  const tellAddress = (podName: string, ip: string) =>
    cluster.kubectl([
      ...['patch', 'pod', podName, '--subresource=status', '-p'],
      JSON.stringify({ status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] } }),
    ]);

  test('and no rate is marked once it has an address, follows its annotation, and is told so', async () => {
    const file = await netns.make('cni-marked', '10.200.0.1');
    const { metadata, ...rest } = podManifest('marked', undefined, 'Burstable');
    await apply({ ...rest, metadata: { ...metadata, annotations: { 'podrate.dev/dscp': 'EF' } } });
    const pod = kubeletPod(await getPod('marked'));
    const cgroups = kubeletCgroups(root, 'systemd');
    const path = await cgroups.make(pod);
    await tellAddress('marked', '10.200.0.1');
    await eventually(async () => expect(await condition('marked')).toEqual(inForce(message('46 (EF)'))));
    expect(await marks(file)).toContain('podrate_dscp');
    expect(await attached(path)).toEqual([]);
    await cluster.kubectl(['annotate', 'pod', 'marked', '--overwrite', 'podrate.dev/dscp=af41']);
    await eventually(async () => expect(await condition('marked')).toEqual(inForce(message('34 (AF41)'))));
    await cluster.kubectl(['label', 'pod', 'marked', 'rate=1M']);
    const limits = 'sends at most 1M (1000000 bytes/s) and receives at most 1M (1000000 bytes/s)';
    const both = message('34 (AF41)', limits) + policed;
    await eventually(async () => expect(await condition('marked')).toEqual(inForce(both)));
    expect(await attached(path)).toEqual(ours);
    await cluster.kubectl(['annotate', 'pod', 'marked', 'podrate.dev/dscp-']);
    await eventually(async () => expect(await condition('marked')).toEqual(inForce(`The pod ${limits}.${policed}`)));
    await eventually(async () => expect(await marks(file)).toBe(''));
    await cluster.kubectl(['delete', 'pod', 'marked', '--grace-period=0', '--force']);
    await cgroups.remove(pod);
    netns.remove('cni-marked');
  });

  test('that nothing can be done about is told why', async () => {
    const { metadata, spec, ...rest } = podManifest('on-host', undefined, 'Burstable');
    const annotations = { 'podrate.dev/dscp': 'EF' };
    await apply({ ...rest, metadata: { ...metadata, annotations }, spec: { ...spec, hostNetwork: true } });
    await eventually(async () =>
      expect(await condition('on-host')).toMatchObject({
        ...{ status: 'False', reason: 'NotMarked' },
        message: expect.stringContaining('with hostNetwork it has no network namespace of its own'),
      }),
    );
    await eventually(async () =>
      expect(await events('on-host')).toEqual([
        { type: 'Warning', reason: 'RateFailed', note: (await condition('on-host'))?.message },
      ]),
    );
    await cluster.kubectl(['delete', 'pod', 'on-host', '--grace-period=0', '--force']);
  });
});

describe('other pods', () => {
  test('without a limit, or of another node, are left alone', async () => {
    const plain = await startPod('plain');
    const limited = await startPod('limited', '1M');
    await apply(podManifest('elsewhere', '1M', 'Burstable', 'other-node'));
    const elsewhere = kubeletPod(await getPod('elsewhere'));
    const cgroups = kubeletCgroups(root, 'systemd');
    const path = await cgroups.make(elsewhere);
    await eventually(async () => expect(await attached(limited.path)).toEqual(ours));
    expect(await attached(plain.path)).toEqual([]);
    expect(await attached(path)).toEqual([]);
    expect(await condition('plain')).toBeUndefined();
    expect(await condition('elsewhere')).toBeUndefined();
    await Promise.all([plain.end(), limited.end()]);
    await cluster.kubectl(['delete', 'pod', 'elsewhere', '--grace-period=0', '--force']);
    await cgroups.remove(elsewhere);
  });
});

describe('an agent that is killed', () => {
  test('leaves the limits in force, and its successor adopts them', async () => {
    const kept = await startPod('kept', '1M');
    const ended = await startPod('ended', '2M');
    await eventually(async () => expect(Object.keys((await kernel()).limits)).toHaveLength(2));
    const before = await programsOf(kept.path);
    await agent.kill('SIGKILL');
    await ended.end();
    await cluster.kubectl(['label', 'pod', 'kept', '--overwrite', 'rate=3M']);
    expect(await attached(kept.path)).toEqual(ours);
    await agent.start();
    await agent.ready();
    await eventually(async () => expect(await condition('kept')).toEqual(both('3M', 3_000_000)));
    await eventually(async () => expect(Object.keys((await kernel()).limits)).toEqual([`pod/${kept.uid}`]));
    expect(await programsOf(kept.path)).toEqual(before);
    await kept.end();
  });

  test('by SIGTERM leaves them too', async () => {
    const pod = await startPod('steady', '1M');
    await eventually(async () => expect(await attached(pod.path)).toEqual(ours));
    await agent.kill('SIGTERM');
    expect(await attached(pod.path)).toEqual(ours);
    await agent.start();
    await agent.ready();
    await pod.end();
  });
});

test('a restart of the API server loses nothing: limits hold, and the agent resumes', async () => {
  const pod = await startPod('patient', '1M');
  await eventually(async () => expect(await attached(pod.path)).toEqual(ours));
  await cluster.controlPlane.restartApiServer();
  expect(await attached(pod.path)).toEqual(ours);
  await eventually(() => cluster.kubectl(['label', 'pod', 'patient', '--overwrite', 'rate=2M']));
  await eventually(async () => expect(await condition('patient')).toEqual(both('2M', 2_000_000)));
  await pod.end();
});

test('fifty pods that come and go leave no slot, no attachment and no pin behind', async () => {
  const names = Array.from({ length: 50 }, (_, number) => `churn-${number}`);
  const list = (items: object[]) => ({ apiVersion: 'v1', kind: 'List', items });
  await apply(list(names.map((podName) => podManifest(podName, '1M', 'Burstable'))));
  const { stdout } = await cluster.kubectl(['get', 'pods', '-o', 'json']);
  const pods = (JSON.parse(stdout).items as ApiPod[]).filter(({ metadata }) => names.includes(metadata.name));
  const cgroups = kubeletCgroups(root, 'systemd');
  const paths = await Promise.all(pods.map((pod) => cgroups.make(kubeletPod(pod))));
  await eventually(async () => expect(Object.keys((await kernel()).limits)).toHaveLength(50));
  for (const path of paths) expect(await attached(path)).toEqual(ours);
  await eventually(async () => {
    const found = JSON.parse((await cluster.kubectl(['get', 'pods', '-o', 'json'])).stdout).items as ApiPod[];
    const told = found.filter(({ status }) =>
      status.conditions?.some(({ type, status: is }) => type === 'podrate.dev/Limited' && is === 'True'),
    );
    expect(told).toHaveLength(50);
  });
  await cluster.kubectl(['delete', 'pods', '--grace-period=0', '--force', ...names]);
  await Promise.all(pods.map((pod) => cgroups.remove(kubeletPod(pod))));
  await eventually(async () => expect(await kernel()).toEqual({ limits: {} }));
  expect(await readdir(pinsIn(pinDir).links)).toEqual(['release']);
});

test('an uninstall takes everything off the node', async () => {
  const pod = await startPod('last', '1M');
  const file = await netns.make('cni-last', '10.200.0.2');
  await cluster.kubectl(['annotate', 'pod', 'last', 'podrate.dev/dscp=CS1']);
  const status = { status: { phase: 'Running', podIP: '10.200.0.2', podIPs: [{ ip: '10.200.0.2' }] } };
  await cluster.kubectl(['patch', 'pod', 'last', '--subresource=status', '-p', JSON.stringify(status)]);
  await eventually(async () => expect((await condition('last'))?.message).toContain('the code point 8 (CS1)'));
  await agent.kill('SIGTERM');
  expect(await agent.uninstall()).toContain('all limits are off this node');
  expect(await condition('last')).toMatchObject({ status: 'False', reason: 'Uninstalled' });
  expect(await attached(pod.path)).toEqual([]);
  expect(await attached(root)).toEqual([]);
  expect(await inNetns(file, 'tc', 'qdisc', 'show')).not.toContain('clsact');
  await expect(readdir(pinDir)).rejects.toThrow('ENOENT');
  await pod.end();
});
