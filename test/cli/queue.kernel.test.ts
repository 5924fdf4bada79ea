import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ChangeReport } from '../../cli/change.ts';
import { linkRate, manualHandle } from '../../nodeagent/queue.ts';
import { readQueues } from '../../nodeagent/queue-steps.ts';
import { createTc } from '../../nodeagent/tc.ts';
import { makeScene, type Scene } from '../nodeagent/scene.ts';
import { podrate } from './podrate.ts';

const NETNS = 'podrate-cli-queue';
const PORT = 'podrate-q0';
let scene: Scene;
let where: string[];
let path: string;
let inside: ChildProcess;

/** Something in a cgroup and in a network namespace of its own, whose device has its other end here: a container. */
beforeEach(async () => {
  scene = await makeScene('cli-queue');
  where = ['--pin-dir', scene.pinDir, '--release-cgroup', scene.root, '--cgroup-root', scene.root];
  await execa('ip', ['netns', 'delete', NETNS], { reject: false });
  await execa('ip', ['netns', 'add', NETNS]);
  await execa('ip', ['link', 'add', PORT, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NETNS]);
  path = scene.make('container').path;
  inside = spawn('nsenter', [`--net=/var/run/netns/${NETNS}`, 'sleep', '600']);
  await writeFile(join(path, 'cgroup.procs'), String(inside.pid));
  const isIn = async () => (await execa('cat', [`/proc/${inside.pid}/comm`])).stdout === 'sleep';
  await vi.waitUntil(isIn, { timeout: 20_000 });
});
afterEach(async () => {
  inside.kill();
  await scene.end();
  await execa('ip', ['link', 'delete', PORT], { reject: false });
  await execa('ip', ['netns', 'delete', NETNS]);
});

const command = (...words: string[]) => podrate([...words, ...where]);
const rate = async () => (await readQueues(createTc(), manualHandle)).rates.get(PORT)?.['1']?.rate;
const bits = (bytes: number) => linkRate({ rate: bytes, mtu: 1500 });

test('a queue comes with attach, follows set, and goes with detach', async () => {
  const { out, err, status } = await command('attach', '--cgroup', path, '--rate', '1M', '--ingress-queue', '--json');
  expect({ err, status }).toEqual({ err: '', status: 0 });
  expect(JSON.parse(out) as ChangeReport).toMatchObject({ ingressQueue: true, ingressBytesPerSecond: 1_000_000 });
  expect(await rate()).toBe(bits(1_000_000));
  expect((await command('set', '--cgroup', path, '--ingress', '3M')).out).toMatch(
    /3M \(3000000 bytes\/s\), through a queue\.$/,
  );
  expect(await rate()).toBe(bits(3_000_000));
  expect(JSON.parse((await command('list', '--json')).out)).toMatchObject([{ ingressQueue: true }]);
  expect((await command('detach', '--cgroup', path)).status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test('a limit as a whole without the flag, or without a rate for what is received, has none', async () => {
  await command('attach', '--cgroup', path, '--rate', '1M', '--ingress-queue');
  expect((await command('attach', '--cgroup', path, '--rate', '2M')).status).toBe(0);
  expect(await rate()).toBeUndefined();
  expect((await command('set', '--cgroup', path, '--ingress', '2M', '--ingress-queue')).status).toBe(0);
  expect(await rate()).toBe(bits(2_000_000));
  expect((await command('set', '--cgroup', path, '--ingress', 'none')).status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test('uninstall takes it off', async () => {
  await command('attach', '--cgroup', path, '--rate', '1M', '--ingress-queue');
  expect((await command('uninstall')).status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test("somebody else's queue stays, and nothing is limited", async () => {
  await execa('tc', [
    'qdisc',
    'add',
    'dev',
    PORT,
    'root',
    'handle',
    '1:',
    'tbf',
    'rate',
    '8mbit',
    'burst',
    '64k',
    'limit',
    '128k',
  ]);
  const { status, err } = await command('attach', '--cgroup', path, '--rate', '1M', '--ingress-queue');
  expect(status).toBe(1);
  expect(err).toContain(`${PORT} has a queue of somebody else's (tbf 1:): podrate leaves it; take it off`);
  expect((await execa('tc', ['qdisc', 'show', 'dev', PORT])).stdout).toContain('tbf');
  expect(JSON.parse((await command('list', '--json')).out)).toEqual([]);
});

test('what shares this network can have none, and it is said why', async () => {
  const other = scene.make('neighbour').path;
  expect(await command('attach', '--cgroup', other, '--rate', '1M', '--ingress-queue')).toMatchObject({
    status: 1,
    err: expect.stringContaining(
      'a queue needs processes with a network namespace and a virtual Ethernet device of their own',
    ),
  });
  expect(await podrate(['run', '--rate', '1M', '--ingress-queue', ...where, '--', 'true'])).toMatchObject({
    status: 2,
    err: expect.stringContaining('podrate run has no queue, because the command shares this network'),
  });
  expect(await command('attach', '--cgroup', path, '--egress', '1M', '--ingress-queue')).toMatchObject({
    status: 2,
    err: expect.stringContaining('--ingress-queue needs a limit of what is received'),
  });
});
