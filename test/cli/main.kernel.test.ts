import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Busy, top } from '../../cli/commands/top.ts';
import type { Listed } from '../../cli/limit/listed.ts';
import { openNode } from '../../nodeagent/open-node.ts';
import type { Check } from '../../nodeagent/preflight/checks.ts';
import { podOf, uidOf } from '../nodeagent/pods.ts';
import { makeScene, objectFile, type Scene, sendFrom } from '../nodeagent/scene.ts';
import { podrate } from './podrate.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
let scene: Scene;
let where: string[];
beforeEach(async () => {
  scene = await makeScene('cli');
  where = ['--pin-dir', scene.pinDir, '--release-cgroup', scene.root, '--cgroup-root', scene.root];
});
afterEach(() => scene.end());

const list = async (): Promise<Listed[]> => JSON.parse((await podrate(['list', '--json', ...where])).out);
const attach = (cgroup: string, ...limit: string[]) => podrate(['attach', '--cgroup', cgroup, ...limit, ...where]);

describe('attach', () => {
  test('limits a cgroup, and says what is in force', async () => {
    const { path, id } = scene.make('backup');
    expect(await attach(path, '--rate', '1M')).toEqual({
      status: 0,
      out: `${path}: It sends at most 1M (1000000 bytes/s) and receives at most 1M (1000000 bytes/s), policed.`,
      err: '',
    });
    expect(await scene.attached(path)).toEqual(ours);
    expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
    expect(await list()).toMatchObject([
      {
        owner: `manual/${id}`,
        cgroup: path,
        inForce: true,
        egressBytesPerSecond: 1_000_000,
        ingressBytesPerSecond: 1_000_000,
      },
    ]);
  });

  test('again changes the limit and keeps the counters', async () => {
    const { path } = scene.make('backup');
    await attach(path, '--rate', '1M');
    await sendFrom(path, 3);
    expect(await attach(path, '--egress', '8Mbit', '--burst', '20')).toMatchObject({ status: 0 });
    const [entry, ...others] = await list();
    expect(others).toEqual([]);
    expect(entry).toMatchObject({ egressBytesPerSecond: 1_000_000, ingressBytesPerSecond: null });
    expect(entry?.counters.egress.passed.packets).toBe(3);
    expect(await scene.attached(path)).toEqual(ours);
  });

  test.each([
    [() => '/nonexistent', 'does not exist: create the cgroup with mkdir, below'],
    [() => tmpdir(), 'is not a directory of cgroup v2: name one below'],
    [() => join(scene.root, 'cgroup.procs'), 'does not exist'],
  ])('refuses what is no cgroup', async (path, message) => {
    const { status, err } = await attach(path(), '--rate', '1M');
    expect(status).toBe(1);
    expect(err).toContain(message);
  });

  test('refuses the cgroup of a limited pod, and says what to do instead', async () => {
    const { path } = scene.make(`kubepods/pod${uidOf(1)}`);
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    for (const command of [['attach', '--rate', '5M'], ['detach']]) {
      const { status, err } = await podrate([...command, '--cgroup', path, ...where]);
      expect(status).toBe(1);
      expect(err).toContain(`belongs to the pod with uid ${uidOf(1)}: change the pod's rate label instead`);
    }
    expect(await list()).toMatchObject([{ owner: `pod/${uidOf(1)}`, egressBytesPerSecond: 1_000_000 }]);
  });
});

describe('set', () => {
  const set = (cgroup: string, ...limit: string[]) => podrate(['set', '--cgroup', cgroup, ...limit, ...where]);

  test('changes one direction and leaves the other', async () => {
    const { path } = scene.make('backup');
    await attach(path, '--rate', '1M');
    expect((await set(path, '--ingress', '5M')).out).toBe(
      `${path}: It sends at most 1M (1000000 bytes/s) and receives at most 5M (5000000 bytes/s), policed.`,
    );
    expect((await set(path, '--egress', 'none')).out).toBe(
      `${path}: It sends without limit and receives at most 5M (5000000 bytes/s), policed.`,
    );
  });

  test('leaves a limit that it would take off altogether, and refuses a cgroup without one', async () => {
    const { path } = scene.make('backup');
    expect(await set(path, '--rate', '1M')).toMatchObject({
      status: 1,
      err: expect.stringContaining('use podrate attach'),
    });
    await attach(path, '--egress', '1M');
    expect(await set(path, '--egress', 'none')).toMatchObject({
      status: 2,
      err: expect.stringContaining('use podrate detach'),
    });
    expect(await list()).toMatchObject([{ egressBytesPerSecond: 1_000_000 }]);
  });
});

describe('run', () => {
  const run = (limit: readonly string[], command: readonly string[], wrapper?: readonly string[]) =>
    podrate(['run', ...limit, ...where, '--', ...command], wrapper);
  const own = ['sh', '-c', 'cat /proc/self/cgroup'];

  test('runs a command in a limited cgroup of its own, which is gone afterwards', async () => {
    const command = ['sh', '-c', `cat /proc/self/cgroup; ${process.execPath} cli/main.ts list ${where.join(' ')}`];
    const { status, out, err } = await run(['--rate', '1M'], command);
    expect({ status, err }).toEqual({ status: 0, err: '' });
    const cgroup = /^0::(.*podrate-run-\d+)$/m.exec(out)?.[1] ?? 'none';
    expect(out).toMatch(new RegExp(`manual/\\d+ +1M +1M .*${cgroup}$`));
    expect(await list()).toEqual([]);
    expect((await podrate(['attach', '--cgroup', `${scene.mount}${cgroup}`, '--rate', '1M', ...where])).err).toContain(
      'does not exist',
    );
  });

  test.each([
    [['sh', '-c', 'exit 7'], 7],
    [['sh', '-c', 'kill -TERM $$'], 143],
    [['/nonexistent/command'], 127],
  ])('%j ends with the status of the command', async (command, expected) => {
    expect((await run(['--egress', '1M'], command)).status).toBe(expected);
    expect(await list()).toEqual([]);
  });

  test('waits for what the command left behind', async () => {
    const { status, out } = await run(['--rate', '1M'], ['sh', '-c', '(sleep 1; echo later) & echo now']);
    expect([status, out]).toEqual([0, 'now\nlater']);
  });

  test('passes SIGTERM on and cleans up', async () => {
    const { status } = await run(['--rate', '1M'], ['sleep', '30'], ['timeout', '--signal=TERM', '3']);
    expect(status).toBe(124);
    expect(await list()).toEqual([]);
  });

  test('runs nothing without a limit or a command', async () => {
    expect(await run([], own)).toMatchObject({ status: 2, out: '' });
    expect(await run(['--rate', '1M'], [])).toMatchObject({ status: 2, out: '' });
    expect(await run(['--rate', '1X'], own)).toMatchObject({ status: 2, out: '' });
    expect(await run(['--rate', '1M', '--pid', '1'], own)).toMatchObject({ status: 2, out: '' });
  });
});

test('a cgroup can be named by a process in it', async () => {
  const { path } = scene.make('backup');
  const sleeper = execa('sh', ['-c', `echo $$ > ${path}/cgroup.procs; echo in; exec sleep 60`], { reject: false });
  try {
    await new Promise((resolve) => sleeper.stdout.once('data', resolve));
    const pid = String(sleeper.pid);
    expect((await podrate(['attach', '--pid', pid, '--rate', '1M', ...where])).out).toContain(`${path}: It sends`);
    expect((await podrate(['detach', '--pid', pid, ...where])).out).toBe(`${path} is no longer limited.`);
  } finally {
    sleeper.kill('SIGKILL');
    await sleeper;
  }
});

test.each([
  [['--pid', '4194304'], 1, 'there is no process 4194304'],
  [['--pid', 'x'], 2, '--pid x is not the number of a process'],
  [['--pid', '2'], 1, 'process 2 is in the root cgroup, with all the machine'],
  [['--pid', '1', '--cgroup', '/'], 2, 'name the cgroup with one of --cgroup DIR, --pid N and --container ID'],
  [[], 2, 'name the cgroup with one of --cgroup DIR, --pid N and --container ID'],
  [['--container', 'no-such-container'], 1, 'has the id no-such-container'],
])('attach %j is refused', async (args, expected, message) => {
  const { status, err } = await podrate(['attach', ...args, '--rate', '1M', ...where]);
  expect(status).toBe(expected);
  expect(err).toContain(message);
});

describe('detach', () => {
  test('takes the limit off, and twice is no error', async () => {
    const { path } = scene.make('backup');
    await attach(path, '--rate', '1M');
    const detach = () => podrate(['detach', '--cgroup', path, ...where]);
    expect(await detach()).toEqual({ status: 0, out: `${path} is no longer limited.`, err: '' });
    expect(await scene.attached(path)).toEqual([]);
    expect(await detach()).toEqual({ status: 0, out: `${path} is not limited.`, err: '' });
    expect(await list()).toEqual([]);
  });
});

test('list shows a table without --json', async () => {
  const { path } = scene.make('backup');
  expect((await podrate(['list', ...where])).out).toBe('Nothing is limited on this machine.');
  await attach(path, '--rate', '1M');
  expect((await podrate(['list', ...where])).out).toMatch(/^OWNER .*\nmanual\/\d+ +1M +1M .*backup$/);
});

test('top shows what flowed through a limit since the look before', async () => {
  const { path } = scene.make('backup');
  await attach(path, '--rate', '1M');
  const node = await openNode({
    bpfObject: objectFile,
    pinDir: scene.pinDir,
    cgroupRoot: scene.root,
    releaseCgroup: scene.root,
  });
  const seen: (readonly Busy[])[] = [];
  const show = (flows: readonly Busy[]) => seen.push(flows) < 2;
  let seconds = 0;
  const wait = () => {
    seconds += 2;
    return sendFrom(path, seconds === 2 ? 30 : 0);
  };
  await top(node, 2, show, wait, () => seconds * 1000);
  // 30 datagrams of 34 bytes: IP and UDP headers, "hello" and its line feed.
  expect(seen.map(([flow]) => flow?.egress.bytesPerSecond)).toEqual([(30 * 34) / 2, 0]);
  expect(seen[0]).toMatchObject([{ cgroup: path, egress: { limitBytesPerSecond: 1_000_000 } }]);
});

test('top shows once where there is no terminal', async () => {
  const { path } = scene.make('backup');
  await attach(path, '--rate', '1M');
  expect((await podrate(['top', '--interval', '0.1', ...where])).out).toMatch(/^EGRESS MB\/s .*\n0\.000 .*backup$/);
  expect(JSON.parse((await podrate(['top', '--interval', '0.1', '--json', ...where])).out)).toHaveLength(1);
});

test('uninstall takes everything off', async () => {
  const { path } = scene.make('backup');
  await attach(path, '--rate', '1M');
  expect(await podrate(['uninstall', ...where])).toMatchObject({ status: 0, err: '' });
  expect(await scene.attached(path)).toEqual([]);
  expect(await scene.attached(scene.root)).toEqual([]);
});

describe('what this machine lacks is named, with the remedy:', () => {
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const mountNamespace = (script: string) => ['unshare', '--mount', 'sh', '-c', `${script}; exec "$@"`, 'sh'];

  test('nothing, here', async () => {
    const { status, out } = await podrate(['doctor', '--json', ...where]);
    expect(status).toBe(0);
    expect((JSON.parse(out) as Check[]).map(({ name, result }) => `${name} ${result}`)).toEqual(
      [
        'privileges',
        'cgroup2',
        'cgroup-root',
        'bpffs',
        'libbpf',
        'object',
        'kernel',
        'older-connections',
        'marks',
        'queues',
        'namespaces',
      ].map((name) => `${name} ok`),
    );
    await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
  });

  test('root', async () => {
    expect(await podrate(['list', ...where], nobody)).toMatchObject({
      status: 3,
      err: expect.stringContaining('user 65534 is not root: run it as root, for example with sudo'),
    });
    expect((await podrate(['doctor', ...where], nobody)).out).toContain('FAILED   user 65534 is not root');
  });

  test('a capability', async () => {
    const wrapper = ['setpriv', '--bounding-set=-bpf,-sys_admin'];
    expect(await podrate(['list', ...where], wrapper)).toMatchObject({
      status: 3,
      err: expect.stringContaining('root without CAP_BPF: give the container the capabilities BPF, NET_ADMIN and'),
    });
  });

  test('nothing but for marks and older connections with the three capabilities of the shipped agent', async () => {
    const wrapper = ['setpriv', '--bounding-set=-all,+bpf,+net_admin,+perfmon'];
    const { path } = scene.make('backup');
    const attached = await podrate(['attach', '--cgroup', path, '--rate', '1M', ...where], wrapper);
    expect(attached).toMatchObject({ status: 0, err: '' });
    expect(await scene.attached(path)).toEqual(ours);
    const { status, out } = await podrate(['doctor', '--json', ...where], wrapper);
    expect(status).toBe(0);
    const bad = (JSON.parse(out) as Check[]).filter(({ result }) => result !== 'ok');
    expect(bad).toMatchObject([{ name: 'namespaces', result: 'warning' }]);
    expect(await podrate(['detach', '--cgroup', path, ...where], wrapper)).toMatchObject({ status: 0, err: '' });
    expect(await scene.attached(path)).toEqual([]);
    expect(await podrate(['uninstall', ...where], wrapper)).toMatchObject({ status: 0, err: '' });
  });

  test('libbpf', async () => {
    const hide =
      'for file in $(ldconfig -p | sed -n "s/.*libbpf.so.1 .*=> //p"); do mount --bind /dev/null "$file"; done';
    const { status, err } = await podrate(['list', ...where], mountNamespace(hide));
    expect(status).toBe(3);
    expect(err).toContain('libbpf.so.1 cannot be loaded: install libbpf 1.0 or newer (Debian, Ubuntu: apt-get install');
  });

  test('a BPF file system', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'podrate-pins-'));
    const { status, err } = await podrate(['list', '--pin-dir', directory]);
    expect(status).toBe(3);
    expect(err).toContain(`${directory} is not in a BPF file system: mount one: mount -t bpf bpf /sys/fs/bpf`);
    const unmounted = await podrate(['doctor'], mountNamespace('umount /sys/fs/bpf'));
    expect(unmounted.status).toBe(3);
    expect(unmounted.out).toContain('FAILED   /sys/fs/bpf/podrate is not in a BPF file system');
    await rm(directory, { recursive: true });
  });

  test('cgroup v2', async () => {
    const { status, err } = await podrate(
      ['list', '--pin-dir', scene.pinDir],
      mountNamespace(`umount -l ${scene.mount}`),
    );
    expect(status).toBe(3);
    expect(err).toContain(
      'no cgroup v2 mount in /proc/self/mountinfo: boot with systemd.unified_cgroup_hierarchy=1, or mount it',
    );
  });

  test('nothing where only bpftool, ip and tc are missing', async () => {
    const hidden = ['bpftool', 'ip', 'tc'].map((program) => `mount --bind /dev/null "$(command -v ${program})"`);
    const { status, out } = await podrate(['doctor', '--json', ...where], mountNamespace(hidden.join(' && ')));
    expect(status).toBe(0);
    for (const name of ['marks', 'queues']) {
      expect(JSON.parse(out)).toContainEqual(expect.objectContaining({ name, result: 'ok' }));
    }
  });

  test('the compiled programs', async () => {
    const { status, err } = await podrate(['list', '--bpf-object', '/nonexistent.o', ...where]);
    expect(status).toBe(3);
    expect(err).toContain('the compiled programs /nonexistent.o cannot be read: install clang');
  });

  test('all of it at once, for the agent too', async () => {
    const main = new URL('../../nodeagent/main.ts', import.meta.url).pathname;
    const args = [...nobody, process.execPath, main, '--bpf-object', '/nonexistent.o', '--pin-dir', '/tmp/pins'];
    const { exitCode, stdout } = await execa(args[0] ?? '', args.slice(1), { reject: false });
    expect(exitCode).toBe(3);
    const checks = stdout.split('\n').map((line) => JSON.parse(line));
    expect(checks.map(({ check }) => check)).toEqual(['privileges', 'bpffs', 'object']);
    expect(checks.every(({ remedy }) => remedy.length > 0)).toBe(true);
  });
});
