import { execa, type ResultPromise } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ChangeReport } from '../../../cli/limit/change.ts';
import type { Listed } from '../../../cli/limit/listed.ts';
import { inNetns, makeNetnsDirectory, type NetnsDirectory } from '../../nodeagent/netns.ts';
import { makeScene, type Scene } from '../../nodeagent/scene.ts';
import { podrate } from '../podrate.ts';

let scene: Scene;
let netns: NetnsDirectory;
let file: string;
let where: string[];
let sleeper: ResultPromise | undefined;
beforeEach(async () => {
  scene = await makeScene('cli-mark');
  netns = await makeNetnsDirectory();
  file = await netns.make('one', '10.1.0.1');
  where = ['--pin-dir', scene.pinDir, '--release-cgroup', scene.root, '--cgroup-root', scene.root];
});
afterEach(async () => {
  sleeper?.kill('SIGKILL');
  await sleeper?.catch(() => {});
  sleeper = undefined;
  await netns.end();
  await scene.end();
});

/** Makes a cgroup with a process in it, in the namespace. */
async function busyCgroup(name: string): Promise<string> {
  const { path } = scene.make(name);
  const script = `echo $$ > ${path}/cgroup.procs; echo in; exec nsenter --net=${file} sleep 60`;
  const child = execa('sh', ['-c', script], { reject: false });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await expect.poll(() => inNetns(`/proc/${child.pid}/ns/net`, 'ip', 'link'), { timeout: 20_000 }).toContain('eth0');
  sleeper = child as unknown as ResultPromise;
  return path;
}
const json = async (command: string, path: string, ...options: string[]): Promise<ChangeReport> => {
  const { out, err } = await podrate([command, '--cgroup', path, ...options, '--json', ...where]);
  expect(err).toBe('');
  return JSON.parse(out);
};
const list = async (): Promise<Listed[]> => JSON.parse((await podrate(['list', '--json', ...where])).out);
const filters = () => inNetns(file, 'tc', 'filter', 'show', 'dev', 'eth0', 'egress');
const without = { egressBytesPerSecond: null, ingressBytesPerSecond: null };

test('a cgroup is marked without a limit, limited besides, and both are listed', async () => {
  const path = await busyCgroup('marked');
  const { out } = await podrate(['attach', '--cgroup', path, '--dscp', 'ef', ...where]);
  expect(out).toBe(
    `${path}: It sends without limit and receives without limit. Its packets carry the code point 46 (EF).`,
  );
  expect(await filters()).toContain('podrate_dscp');
  expect(await list()).toMatchObject([{ cgroup: path, inForce: true, dscp: 46, ...without }]);
  expect(await json('set', path, '--rate', '1M')).toMatchObject({ dscp: 46, egressBytesPerSecond: 1e6, changed: true });
  expect(await json('set', path, '--dscp', '10')).toMatchObject({ dscp: 10, egressBytesPerSecond: 1e6, changed: true });
  expect(await json('set', path, '--dscp', '10')).toMatchObject({ dscp: 10, changed: false });
  expect(await list()).toMatchObject([{ dscp: 10, egressBytesPerSecond: 1e6 }]);
  expect((await podrate(['list', ...where])).out).toMatch(/ 1M +1M +policed +10 \(AF11\) /);
});

describe('the mark is taken off', () => {
  test('by detach, also when the processes are gone that it was made for', async () => {
    const path = await busyCgroup('marked');
    // A namespace without processes is found where ip netns keeps it.
    await execa('ip', ['netns', 'attach', `podrate-test-${process.pid}`, String(sleeper?.pid)]);
    try {
      await json('attach', path, '--dscp', '46', '--rate', '1M');
      sleeper?.kill('SIGKILL');
      await sleeper?.catch(() => {});
      expect(await json('detach', path)).toMatchObject({ inForce: false, dscp: null, changed: true });
      expect(await filters()).toBe('');
    } finally {
      await execa('ip', ['netns', 'delete', `podrate-test-${process.pid}`]);
    }
    expect(await json('detach', path)).toMatchObject({ changed: false });
  });

  test('by set, and by an attach that says nothing of it', async () => {
    const path = await busyCgroup('marked');
    await json('attach', path, '--dscp', '46', '--rate', '1M');
    expect(await json('set', path, '--dscp', 'none')).toMatchObject({ dscp: null, egressBytesPerSecond: 1e6 });
    expect(await filters()).toBe('');
    await json('set', path, '--dscp', '46');
    expect(await json('attach', path, '--rate', '2M')).toMatchObject({ dscp: null, changed: true });
    expect(await filters()).toBe('');
  });

  test('by uninstall', async () => {
    const path = await busyCgroup('marked');
    await json('attach', path, '--dscp', '46');
    expect(await podrate(['uninstall', ...where])).toMatchObject({ status: 0, err: '' });
    expect(await inNetns(file, 'tc', 'qdisc', 'show')).not.toContain('clsact');
  });
});

test('the last limit of a cgroup can be lifted as long as it is marked', async () => {
  const path = await busyCgroup('marked');
  await json('attach', path, '--dscp', '46', '--rate', '1M');
  expect(await json('set', path, '--rate', 'none')).toMatchObject({ dscp: 46, ...without, inForce: true });
  const { status, err } = await podrate(['set', '--cgroup', path, '--dscp', 'none', ...where]);
  expect([status, err]).toEqual([2, expect.stringContaining('use podrate detach')]);
});

test('run marks what its command sends, while it runs', async () => {
  const script = 'tc filter show dev eth0 egress; cat /proc/self/cgroup';
  const args = ['run', '--dscp', 'AF41', ...where, '--', 'sh', '-c', script];
  const { status, out, err } = await podrate(args, ['nsenter', `--net=${file}`]);
  expect({ status, err }).toEqual({ status: 0, err: '' });
  expect(out).toContain('podrate_dscp');
  expect(out).toMatch(/^0::.*podrate-run-\d+$/m);
  expect(await filters()).toBe('');
});

describe('what cannot be marked is refused, and nothing is done:', () => {
  test('a cgroup without a process', async () => {
    const { path } = scene.make('empty');
    const { status, err } = await podrate(['attach', '--cgroup', path, '--rate', '1M', '--dscp', '46', ...where]);
    expect(status).toBe(1);
    expect(err).toContain(`--dscp: no process is in ${path}, to tell its network namespace`);
    expect(await list()).toEqual([]);
  });

  test('where no namespace can be entered, to a run whose limit and cgroup are gone again', async () => {
    const wrapper = ['nsenter', `--net=${file}`, 'setpriv', '--bounding-set=-sys_admin'];
    const args = ['run', '--dscp', 'EF', ...where, '--', 'echo', 'ran'];
    const { status, out, err } = await podrate(args, wrapper);
    expect([status, out]).toEqual([1, '']);
    expect(err).toContain('packets cannot be marked');
    expect(await list()).toEqual([]);
  });
});
