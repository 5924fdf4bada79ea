import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ChangeReport } from '../../../cli/limit/change.ts';
import { manualHandle } from '../../../nodeagent/ingress-queue/htb.ts';
import { queueOn } from '../../nodeagent/queues.ts';
import { makeScene, type Scene } from '../../nodeagent/scene.ts';
import { podrate } from '../podrate.ts';

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
/** Which of some rates a whole queue has, whose filter names the slot of the limit. */
const rate = async () => {
  const queue = queueOn(PORT, manualHandle);
  if (queue === undefined) return undefined;
  scene.shaper.install();
  const [slot] = scene.shaper.observe();
  expect(queue).toMatchObject({ programId: scene.shaper.classifier().id, slot: slot?.slot });
  return queue.rate;
};
const foreign = ['root', 'handle', '1:', 'tbf', 'rate', '8mbit', 'burst', '64k', 'limit', '128k'];

test('a queue comes with attach without being asked for, follows set, and goes with detach', async () => {
  const { out, err, status } = await command('attach', '--cgroup', path, '--rate', '1M', '--json');
  expect({ err, status }).toEqual({ err: '', status: 0 });
  expect(JSON.parse(out) as ChangeReport).toMatchObject({
    ...{ ingressQueue: true, ingressBytesPerSecond: 1_000_000, warnings: [] },
  });
  expect(await rate()).toBe(1e6);
  expect((await command('set', '--cgroup', path, '--ingress', '3M')).out).toMatch(
    /3M \(3000000 bytes\/s\), through a queue\.$/,
  );
  expect(await rate()).toBe(3e6);
  expect(JSON.parse((await command('list', '--json')).out)).toMatchObject([{ ingressQueue: true }]);
  expect((await command('list')).out).toMatch(/ 3M +queued /);
  expect((await command('detach', '--cgroup', path)).status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test('--no-ingress-queue leaves it out, also afterwards, until it is asked for', async () => {
  await command('attach', '--cgroup', path, '--rate', '1M');
  expect((await command('attach', '--cgroup', path, '--rate', '2M', '--no-ingress-queue')).out).toMatch(/, policed\.$/);
  expect(await rate()).toBeUndefined();
  expect((await command('list')).out).toMatch(/ 2M +policed /);
  expect((await command('set', '--cgroup', path, '--ingress', '3M')).out).toMatch(/, policed\.$/);
  expect(await rate()).toBeUndefined();
  expect((await command('set', '--cgroup', path, '--ingress', '2M', '--ingress-queue')).status).toBe(0);
  expect(await rate()).toBe(2e6);
  expect((await command('set', '--cgroup', path, '--no-ingress-queue')).status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test('a limit of what is received that comes later has a queue, and one that goes takes it along', async () => {
  await command('attach', '--cgroup', path, '--egress', '1M');
  expect(await rate()).toBeUndefined();
  expect((await command('set', '--cgroup', path, '--ingress', '2M')).out).toMatch(/, through a queue\.$/);
  expect(await rate()).toBe(2e6);
  expect((await command('set', '--cgroup', path, '--ingress', 'none')).out).toMatch(/receives without limit\.$/);
  expect(await rate()).toBeUndefined();
});

test('a queue goes with detach also when the processes have left, and when a limit was never completed', async () => {
  await command('attach', '--cgroup', path, '--rate', '1M');
  const elsewhere = scene.make('elsewhere').path;
  await writeFile(join(elsewhere, 'cgroup.procs'), String(inside.pid));
  expect((await command('detach', '--cgroup', path)).status).toBe(0);
  expect(await rate()).toBeUndefined();
  await execa('tc', ['qdisc', 'add', 'dev', PORT, 'root', 'handle', '7065:', 'htb', 'default', '30']);
  expect((await command('detach', '--cgroup', elsewhere)).status).toBe(0);
  expect((await execa('tc', ['qdisc', 'show', 'dev', PORT])).stdout).not.toContain('htb');
});

test('uninstall removes it', async () => {
  await command('attach', '--cgroup', path, '--rate', '1M');
  expect((await command('uninstall')).status).toBe(0);
  expect(await rate()).toBeUndefined();
});

test('the root qdisc of another program stays, and what is received is policed with a warning', async () => {
  await execa('tc', ['qdisc', 'add', 'dev', PORT, ...foreign]);
  const { status, out } = await command('attach', '--cgroup', path, '--rate', '1M');
  expect(status).toBe(0);
  expect(out).toContain(', policed.');
  const reason = `another program has installed a root qdisc on ${PORT} (tbf 1:): remove it (tc qdisc del dev ${PORT} root)`;
  expect(out).toContain(`What it receives is policed, not queued: ${reason}`);
  expect((await execa('tc', ['qdisc', 'show', 'dev', PORT])).stdout).toContain('tbf');
});

test('with --ingress-queue nothing is limited where there cannot be a queue', async () => {
  await execa('tc', ['qdisc', 'add', 'dev', PORT, ...foreign]);
  const { status, err } = await command('attach', '--cgroup', path, '--rate', '1M', '--ingress-queue');
  expect(status).toBe(1);
  expect(err).toContain(`another program has installed a root qdisc on ${PORT} (tbf 1:)`);
  expect((await execa('tc', ['qdisc', 'show', 'dev', PORT])).stdout).toContain('tbf');
  expect(JSON.parse((await command('list', '--json')).out)).toEqual([]);
});

test('what shares this network is policed without a warning, and refused with --ingress-queue', async () => {
  const other = scene.make('neighbour').path;
  const attached = await command('attach', '--cgroup', other, '--rate', '1M', '--json');
  expect(JSON.parse(attached.out)).toMatchObject({ inForce: true, ingressQueue: false, warnings: [] });
  expect(await command('attach', '--cgroup', other, '--rate', '1M', '--ingress-queue')).toMatchObject({
    status: 1,
    err: expect.stringContaining('a queue needs processes with a network namespace and a veth of their own'),
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
