import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cgroupOfContainer } from '../../../cli/cgroup/container.ts';
import { CommandError } from '../../../cli/errors.ts';

// The tree is asked for names only, so any file system will do here.
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'podrate-containers-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const make = (...paths: string[]) => {
  for (const path of paths) mkdirSync(join(root, path), { recursive: true });
};
const id = (start: string) => start.padEnd(64, '0');
const find = async (wanted: string) => (await cgroupOfContainer(wanted, root)).slice(root.length + 1);
const failure = async (wanted: string) => {
  const error = await find(wanted).catch((thrown) => thrown);
  if (error instanceof CommandError) return error;
  throw new Error(`${wanted} was found: ${error}`);
};

test.each([
  ['Docker', `system.slice/docker-${id('a1')}.scope`],
  ['Docker without systemd', `docker/${id('a1')}`],
  ['containerd for a kubelet', `kubepods.slice/kubepods-pod1.slice/cri-containerd-${id('a1')}.scope`],
  ['containerd for a kubelet without systemd', `kubepods/burstable/pod1/${id('a1')}`],
  ['CRI-O', `kubepods.slice/kubepods-pod1.slice/crio-${id('a1')}.scope`],
  ['Podman', `machine.slice/libpod-${id('a1')}.scope`],
  [
    'a container in a container',
    `system.slice/docker-${id('b2')}.scope/kubelet.slice/cri-containerd-${id('a1')}.scope`,
  ],
])('the cgroup of %s is found by the id and by its beginning', async (_, path) => {
  make(path, `other/${id('c3')}`);
  expect(await find(id('a1'))).toBe(path);
  expect(await find('a1')).toBe(path);
});

test.each([
  ['runc without systemd', 'web', 'web'],
  ['runc', 'web-1', 'system.slice/runc-web-1.scope'],
  ['crun', 'web', 'system.slice/crun-web.scope'],
  ['containerd by hand', 'web', 'default/web'],
])('the cgroup of %s is found by the name of the container, in full only', async (_, name, path) => {
  make(path);
  expect(await find(name)).toBe(path);
  expect((await failure(name.slice(0, 2))).code).toBe('cli/no-cgroup');
});

test('the outer one of two cgroups of a container is taken, and never the one of its watcher', async () => {
  make(`machine.slice/libpod-conmon-${id('a1')}.scope`, `machine.slice/libpod-${id('a1')}.scope/container`);
  make(`user.slice/libpod-payload-${id('b2')}.scope/${id('b2')}`);
  expect(await find('a1')).toBe(`machine.slice/libpod-${id('a1')}.scope`);
  expect(await find('b2')).toBe(`user.slice/libpod-payload-${id('b2')}.scope`);
});

test('a name wins over the beginning of an id', async () => {
  make('a1', `docker/${id('a1')}`);
  expect(await find('a1')).toBe('a1');
});

test('what belongs to no container is not taken for one', async () => {
  make('system.slice/ssh.service', 'user.slice/session-1.scope', 'kubepods/burstable');
  for (const name of ['ssh.service', 'session-1.scope', 'session-1', 'system.slice', 'kubepods', 'burstable']) {
    expect((await failure(name)).code).toBe('cli/no-cgroup');
  }
});

test('an abbreviation that fits several is refused with all that it can be', async () => {
  make(`docker/${id('a1b')}`, `docker/${id('a1c')}`, `docker/${id('b')}`);
  const { code, message } = await failure('a1');
  expect(code).toBe('cli/ambiguous');
  expect(message).toContain('--container a1 can be any of 2 cgroups: write more of the id\n');
  expect(message.split('\n').slice(1).toSorted()).toEqual([
    `  ${root}/docker/${id('a1b')}`,
    `  ${root}/docker/${id('a1c')}`,
  ]);
});

test('a name that two runtimes gave is refused, with what to do instead', async () => {
  make('one/web', 'other/web');
  const { code, message } = await failure('web');
  expect([code, message]).toEqual(['cli/ambiguous', expect.stringContaining('name one of them with --cgroup DIR')]);
});

test('an unknown one is refused with the ids of those that run, but not with thousands', async () => {
  expect((await failure('web')).message).toBe(
    `no cgroup below ${root} has the id web: name its cgroup with --cgroup DIR, or one of its processes with --pid N`,
  );
  make(...Array.from({ length: 20 }, (_, index) => `docker/${id(`${index}f`)}`));
  const lines = (await failure('abc')).message.split('\n');
  expect(lines).toHaveLength(2 + 8 + 1);
  expect(lines[2]).toMatch(/^ {2}[0-9a-f]{64}$/);
  expect(lines.at(-1)).toBe('  and 12 more');
});

test.each(['', '/', '../x', 'a b'])('%j is no id', async (wanted) => {
  expect((await failure(wanted)).code).toBe('cli/usage');
});
