import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1PodSpec } from '@kubernetes/client-node';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '../kube/fake-api-server.ts';
import { jsonLines } from '../webhook/json-lines.ts';
import { uidOf } from './pods.ts';
import { queueOn } from './queues.ts';
import { makeScene, type Scene } from './scene.ts';

const NETNS = 'podrate-agent-queue';
const PORT = 'podrate-q1';
const ADDRESS = '192.0.2.31';
const uid = uidOf(31);
let scene: Scene;
let api: FakeApiServer;
let directory: string;
let agent: ChildProcess | undefined;
/** The log of the agent that was started last. */
let lines: Record<string, unknown>[];

beforeEach(async () => {
  scene = await makeScene('agent-queue');
  scene.make(`kubepods/burstable/pod${uid}`);
  api = await startFakeApiServer();
  directory = await mkdtemp(join(tmpdir(), 'podrate-agent-queue-'));
  await writeFile(join(directory, 'kubeconfig'), api.kubeConfig.exportConfig());
  await execa('ip', ['netns', 'delete', NETNS], { reject: false });
  await execa('ip', ['netns', 'add', NETNS]);
  await execa('ip', ['link', 'add', PORT, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NETNS]);
  await execa('ip', ['-netns', NETNS, 'address', 'add', `${ADDRESS}/24`, 'dev', 'eth0']);
  await symlink(`/var/run/netns/${NETNS}`, join(directory, 'pod'));
});
afterEach(async () => {
  await stop();
  await api.stop();
  await scene.end();
  await execa('ip', ['netns', 'delete', NETNS]);
  await rm(directory, { recursive: true });
});

function start(...flags: string[]) {
  const where = ['--pin-dir', scene.pinDir, '--release-cgroup', scene.root, '--cgroup-root', scene.root];
  const args = [
    'nodeagent/main.ts',
    ...where,
    '--netns-dir',
    directory,
    '--node-name',
    'here',
    '--port',
    '0',
    ...flags,
  ];
  const env = { ...process.env, KUBECONFIG: join(directory, 'kubeconfig') };
  const child = spawn(process.execPath, args, {
    ...{ cwd: new URL('../..', import.meta.url), env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  lines = [];
  jsonLines(child.stdout, lines);
  agent = child;
  return child;
}
async function stop() {
  if (agent === undefined || agent.exitCode !== null) return;
  const ended = once(agent, 'exit');
  agent.kill();
  await ended;
}
const put = (rates: object, spec: Partial<V1PodSpec> = {}) =>
  api.put({
    spec: { containers: [], ...spec },
    metadata: {
      ...{ namespace: 'default', name: 'web', uid, labels: { 'podrate.dev/shaped': 'true' } },
      annotations: { 'podrate.dev/limit': JSON.stringify(rates) },
    },
    status: { phase: 'Running', podIPs: [{ ip: ADDRESS }] },
  });
/** The rate of a whole queue. */
const rate = async () => queueOn(PORT)?.rate;
/** The configs of all slots, as the kernel has them. */
const slots = async () => {
  scene.shaper.install();
  return scene.shaper.observe();
};
/** The agent's metrics, from where its log says that it listens. */
const metrics = async () => {
  const { address, port } = lines.find(({ msg }) => msg === 'the agent runs') ?? {};
  expect(address).toBe('127.0.0.1');
  return (await fetch(`http://${address}:${port}/metrics`)).text();
};
const told = () => JSON.stringify(api.patches.at(-1)?.body ?? '');
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 100 });

test('the agent makes the queue of a pod without being asked, and changes its rate with the label', async () => {
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start();
  await eventually(async () => expect(await rate()).toBe(1e6));
  await eventually(async () => expect(told()).toContain('receives at most 1M (1000000 bytes/s)."'));
  await eventually(async () => expect((await slots())[0]?.config.queued).toBe(true));
  const [slot] = await slots();
  expect(queueOn(PORT)).toMatchObject({ programId: scene.shaper.classifier().id, slot: slot?.slot });
  await eventually(async () => expect(await metrics()).toMatch(/^podrate_queued_pods 1$/m));
  put({ egress: 1_000_000, ingress: 4_000_000 });
  await eventually(async () => expect(told()).toContain('receives at most 4M (4000000 bytes/s)."'));
  expect(await rate()).toBe(4e6);
  put({ egress: 1_000_000 });
  await eventually(async () => expect(told()).toContain('receives without limit.'));
  expect(await rate()).toBeUndefined();
  expect((await slots())[0]?.config.queued).toBe(false);
});

test('a queue outlives its agent and is in force throughout the start of the next one', async () => {
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start();
  await eventually(async () => expect((await slots())[0]?.config.queued).toBe(true));
  await stop();
  expect(await rate()).toBe(1e6);
  start();
  const seen = new Set<boolean | undefined>();
  const before = api.patches.length;
  put({ egress: 2_000_000, ingress: 1_000_000 });
  await eventually(async () => {
    seen.add((await slots())[0]?.config.queued);
    expect(api.patches.length).toBeGreaterThan(before);
    expect(told()).toContain('sends at most 2M');
  });
  expect([...seen]).toEqual([true]);
  // Nothing was made or removed, not even for a moment.
  const messages = lines.map(({ msg }) => msg);
  expect(messages).toContain('limits changed');
  expect(messages).not.toContain('queues changed');
});

test('a queue is removed by an agent that has queues switched off, and by the uninstalling one', async () => {
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start();
  await eventually(async () => expect(await rate()).toBe(1e6));
  await stop();
  start('--ingress-queue=false');
  await eventually(async () => {
    expect(told()).toContain('Receiving is policed, not queued: queues are switched off (--ingress-queue');
  });
  expect(await rate()).toBeUndefined();
  await eventually(async () => expect((await slots())[0]?.config.queued).toBe(false));
  await stop();
  start();
  await eventually(async () => expect(await rate()).toBe(1e6));
  await stop();
  const [status] = await once(start('--uninstall'), 'exit');
  expect(status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test('where another program has installed a root qdisc the pod is policed, and the condition says so', async () => {
  const tbf = ['root', 'handle', '1:', 'tbf', 'rate', '8mbit', 'burst', '64k', 'limit', '128k'];
  await execa('tc', ['qdisc', 'add', 'dev', PORT, ...tbf]);
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start();
  await eventually(async () => {
    const reason = `another program has installed a root qdisc on ${PORT} (tbf 1:): remove it`;
    expect(told()).toContain(`Receiving is policed, not queued: ${reason}`);
  });
  expect(told()).toContain('"status":"True"');
});

test('a pod with hostNetwork is policed, and the condition says so', async () => {
  put({ egress: 1_000_000, ingress: 1_000_000 }, { hostNetwork: true });
  start();
  await eventually(async () => {
    expect(told()).toContain('Receiving is policed, not queued: with hostNetwork it has no device of its own');
  });
  expect(await rate()).toBeUndefined();
});

test('a pod that lost its label while no agent ran is told that its limit is gone', async () => {
  put({ egress: 1_000_000 });
  start();
  await eventually(async () => expect(told()).toContain('"status":"True"'));
  await stop();
  const written = api.patches.length;
  const condition = { type: 'podrate.dev/Limited', status: 'True', reason: 'InForce', message: 'in force' };
  api.put({
    spec: { containers: [] },
    metadata: { namespace: 'default', name: 'web', uid },
    status: { phase: 'Running', conditions: [condition] },
  });
  start();
  await eventually(async () => {
    expect(api.patches.length).toBeGreaterThan(written);
    expect(told()).toContain('"reason":"NoLimit"');
  });
  expect(await slots()).toEqual([]);
});
