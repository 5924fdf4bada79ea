import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { linkRate, podHandle } from '../../nodeagent/queue.ts';
import { readQueues } from '../../nodeagent/queue-steps.ts';
import { createTc } from '../../nodeagent/tc.ts';
import { type FakeApiServer, startFakeApiServer } from '../kube/fake-api-server.ts';
import { uidOf } from './pods.ts';
import { makeScene, type Scene } from './scene.ts';

const NETNS = 'podrate-agent-queue';
const PORT = 'podrate-q1';
const ADDRESS = '192.0.2.31';
const uid = uidOf(31);
let scene: Scene;
let api: FakeApiServer;
let directory: string;
let agent: ChildProcess | undefined;

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
  agent = spawn(process.execPath, args, { cwd: new URL('../..', import.meta.url), env, stdio: 'ignore' });
  return agent;
}
async function stop() {
  if (agent === undefined || agent.exitCode !== null) return;
  const ended = once(agent, 'exit');
  agent.kill();
  await ended;
}
const put = (rates: object) =>
  api.put({
    metadata: {
      ...{ namespace: 'default', name: 'web', uid, labels: { 'podrate.dev/shaped': 'true' } },
      annotations: { 'podrate.dev/limit': JSON.stringify(rates) },
    },
    status: { phase: 'Running', podIPs: [{ ip: ADDRESS }] },
  });
const rate = async () => (await readQueues(createTc(), podHandle)).rates.get(PORT)?.['1']?.rate;
const bits = (bytes: number) => linkRate({ rate: bytes, mtu: 1500 });
const told = () => JSON.stringify(api.patches.at(-1)?.body ?? '');
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 100 });

test('the agent puts a queue in front of a pod, changes its rate with the label, and says so', async () => {
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start('--ingress-queue');
  await eventually(async () => expect(told()).toContain('at most 1M (1000000 bytes/s), through a queue.'));
  expect(await rate()).toBe(bits(1_000_000));
  put({ egress: 1_000_000, ingress: 4_000_000 });
  await eventually(async () => expect(told()).toContain('at most 4M (4000000 bytes/s), through a queue.'));
  expect(await rate()).toBe(bits(4_000_000));
  put({ egress: 1_000_000 });
  await eventually(async () => expect(told()).toContain('receives without limit.'));
  expect(await rate()).toBeUndefined();
});

test('a queue outlives its agent, is taken off by one without the flag, and by the uninstalling one', async () => {
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start('--ingress-queue');
  await eventually(async () => expect(told()).toContain('through a queue.'));
  await stop();
  expect(await rate()).toBe(bits(1_000_000));
  start();
  await eventually(async () => expect(told()).toContain('receives at most 1M (1000000 bytes/s).'));
  expect(await rate()).toBeUndefined();
  await stop();
  start('--ingress-queue');
  await eventually(async () => expect(await rate()).toBe(bits(1_000_000)));
  await stop();
  const [status] = await once(start('--uninstall'), 'exit');
  expect(status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test("where the device has somebody else's queue the limit is in force, and the condition says that there is no queue", async () => {
  const tbf = ['root', 'handle', '1:', 'tbf', 'rate', '8mbit', 'burst', '64k', 'limit', '128k'];
  await execa('tc', ['qdisc', 'add', 'dev', PORT, ...tbf]);
  put({ egress: 1_000_000, ingress: 1_000_000 });
  start('--ingress-queue');
  await eventually(async () => {
    expect(told()).toContain(`No queue is in front of it: ${PORT} has a queue of somebody else's (tbf 1:).`);
  });
  expect(told()).toContain('"status":"True"');
});
