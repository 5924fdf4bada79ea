import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Cgroup } from '../../../nodeagent/cgroup/tree.ts';
import { BpfError } from '../../../nodeagent/libbpf/error.ts';
import { configOfLimit } from '../../../nodeagent/pods/desired.ts';
import { slotCount } from '../../../nodeagent/shaper/layout.ts';
import { digestOf, pinsIn } from '../../../nodeagent/shaper/pins.ts';
import { createShaper } from '../../../nodeagent/shaper/shaper.ts';
import type { AttachStep, Step } from '../../../nodeagent/shaper/steps.ts';
import { parseRate } from '../../../rate/rate.ts';
import { type Foreign, loadForeign } from '../foreign.ts';
import { makeScene, objectFile, type Scene, sendFrom } from '../scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
const digest = digestOf(objectFile);
let scene: Scene;
beforeEach(async () => {
  scene = await makeScene('shaper');
  scene.shaper.install();
});
afterEach(() => scene.end());

function attachStep(cgroup: Cgroup, slot = 1, more: Partial<AttachStep> = {}): AttachStep {
  const config = configOfLimit({ egress: parseRate('1M') });
  return { kind: 'attach', slot, owner: `pod/${slot}`, cgroup, config, claim: true, fresh: true, ...more };
}
const detachStep = (cgroup: Cgroup, slot = 1): Step => {
  return { kind: 'detach', slot, owner: `pod/${slot}`, cgroupId: cgroup.id, keepLinks: false };
};

test('installing pins the maps of the layout with room for all slots, and the programs by their digest', async () => {
  const { layout, map } = pinsIn(scene.pinDir);
  expect((await readdir(layout)).sort()).toEqual(['links', 'maps', `programs_${digest}`]);
  for (const name of ['configs', 'states', 'counts', 'owners'] as const) {
    const { stdout } = await execa('bpftool', ['--json', 'map', 'show', 'pinned', map(name)]);
    expect(JSON.parse(stdout)).toMatchObject({ max_entries: slotCount });
  }
});

test('installing again changes nothing, and several processes that install at once end with one set', async () => {
  const before = scene.shaper.classifier();
  scene.restart().shaper.install();
  expect(scene.shaper.classifier()).toEqual(before);

  await rm(scene.pinDir, { recursive: true });
  const script = `
    import { createShaper } from ${JSON.stringify(new URL('../../../nodeagent/shaper/shaper.ts', import.meta.url))};
    const [pinDirectory, objectFile, cgroupMount] = process.argv.slice(1);
    createShaper({ pinDirectory, objectFile, cgroupMount, releaseCgroup: undefined }).install();`;
  const args = ['--input-type=module', '-e', script, scene.pinDir, objectFile, scene.mount];
  await Promise.all(Array.from({ length: 4 }, () => execa(process.execPath, args)));
  expect((await readdir(pinsIn(scene.pinDir).layout)).sort()).toEqual(['links', 'maps', `programs_${digest}`]);
  const cgroup = scene.make('a');
  expect(scene.shaper.apply([attachStep(cgroup)])).toEqual([]);
  expect(scene.shaper.observe()).toMatchObject([{ isMapped: true }]);
});

test('programs of other versions are removed', async () => {
  const { layout } = pinsIn(scene.pinDir);
  await mkdir(join(layout, 'programs_000000000000'));
  scene.shaper.tidy();
  expect((await readdir(layout)).sort()).toEqual(['links', 'maps', `programs_${digest}`]);
});

test('a load that was interrupted is completed, with the maps that are there', async () => {
  const { map, programs } = pinsIn(scene.pinDir);
  const idOf = async () =>
    JSON.parse((await execa('bpftool', ['-j', 'map', 'show', 'pinned', map('owners')])).stdout).id;
  const owners = await idOf();
  await rm(join(programs(digest), 'podrate_ingress'));
  await rm(map('exempt'));
  const again = scene.restart().shaper;
  expect(again.isInstalled()).toBe(false);
  again.install();
  expect(again.isInstalled()).toBe(true);
  expect(await idOf()).toBe(owners);
});

test('attaching puts three programs on the cgroup and is seen', async () => {
  const cgroup = scene.make('a');
  expect(scene.shaper.apply([attachStep(cgroup)])).toEqual([]);
  expect(await scene.attached(cgroup.path)).toEqual(ours);
  const config = {
    egress: { rate: 1_000_000, burstNs: 0 },
    ingress: { rate: 0, burstNs: 0 },
    release: false,
    queued: false,
  };
  const attached = new Map([
    ['egress', 'current'],
    ['ingress', 'current'],
    ['sockops', 'current'],
  ]);
  expect(scene.shaper.observe()).toEqual([
    { slot: 1, cgroupId: cgroup.id, owner: 'pod/1', config, isAlive: true, isMapped: true, attached },
  ]);
});

test('an update changes the limit and nothing else, also not the counters', async () => {
  const cgroup = scene.make('a');
  scene.shaper.apply([attachStep(cgroup)]);
  await sendFrom(cgroup.path, 5);
  const [before] = scene.shaper.counters([{ slot: 1 }]);
  expect(before?.egress.passed.packets).toBe(5);
  const config = configOfLimit({ egress: parseRate('2M'), ingress: parseRate('3M') });
  scene.shaper.apply([{ kind: 'update', slot: 1, owner: 'pod/1', config }]);
  expect(scene.shaper.observe()[0]?.config).toEqual(config);
  expect(scene.shaper.counters([{ slot: 1 }])).toEqual([before]);
  expect(await scene.attached(cgroup.path)).toEqual(ours);
});

test('a new owner of a slot starts with counters at zero', async () => {
  const first = scene.make('a');
  scene.shaper.apply([attachStep(first)]);
  await sendFrom(first.path, 5);
  scene.shaper.apply([detachStep(first)]);
  expect(await scene.attached(first.path)).toEqual([]);
  scene.shaper.apply([attachStep(scene.make('b'))]);
  const [counters] = scene.shaper.counters([{ slot: 1 }]);
  expect(counters?.egress.passed).toEqual({ packets: 0, bytes: 0 });
});

test('a step that fails is named, and the steps around it are done', async () => {
  const cgroups = ['a', 'b', 'c'].map((name) => scene.make(name));
  const steps = cgroups.map((cgroup, index) => attachStep(cgroup, index + 1));
  scene.shaper.apply([attachStep(scene.make('d'), 2)]);
  const failures = scene.shaper.apply(steps);
  expect(failures.map(({ step }) => 'slot' in step && step.slot)).toEqual([2]);
  expect(failures[0]?.error.message).toBe('another process has taken slot 2');
  expect(await Promise.all(cgroups.map(({ path }) => scene.attached(path)))).toEqual([ours, [], ours]);
});

test('a cgroup that vanishes between look-up and attach is no error', async () => {
  const gone = scene.make('gone');
  const there = scene.make('there');
  await scene.remove('gone');
  expect(scene.shaper.apply([attachStep(gone, 1), attachStep(there, 2)])).toEqual([]);
  expect(await scene.attached(there.path)).toEqual(ours);
});

test('a cgroup with a space, a quote or a percent sign in its name can be limited', async () => {
  for (const [index, name] of ["it's a cgroup", '100%'].entries()) {
    const cgroup = scene.make(name);
    expect(scene.shaper.apply([attachStep(cgroup, index + 1)])).toEqual([]);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
  }
});

test('a link that somebody has detached is seen, and put back', async () => {
  const cgroup = scene.make('a');
  scene.shaper.apply([attachStep(cgroup)]);
  const link = pinsIn(scene.pinDir).link(cgroup.id, 'egress');
  await execa('bpftool', ['link', 'detach', 'pinned', link]);
  expect([...(scene.shaper.observe()[0]?.attached.keys() ?? [])]).toEqual(['ingress', 'sockops']);
  expect(scene.shaper.apply([attachStep(cgroup, 1, { claim: false, fresh: false })])).toEqual([]);
  expect(await scene.attached(cgroup.path)).toEqual(ours);
});

test('a cgroup can be limited again after the pin of a map was removed', async () => {
  const cgroup = scene.make('a');
  scene.shaper.apply([attachStep(cgroup)]);
  await rm(pinsIn(scene.pinDir).map('slots'));
  const { shaper } = scene.restart();
  shaper.install();
  expect(shaper.observe()).toMatchObject([{ isAlive: false, isMapped: false }]);
  expect(shaper.apply([attachStep(cgroup, 1, { claim: false })])).toEqual([]);
  expect(shaper.observe()).toMatchObject([{ isAlive: true, isMapped: true }]);
  await sendFrom(cgroup.path, 3);
  expect(shaper.counters([{ slot: 1 }])[0]?.egress.passed.packets).toBe(3);
});

test('the release program is attached once, however often it is asked for', async () => {
  expect(scene.shaper.installRelease()).toBeUndefined();
  const again = scene.restart().shaper;
  again.install();
  expect(again.installRelease()).toBeUndefined();
  expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
});

test('an object that the kernel refuses is refused as a whole and leaves nothing behind', async () => {
  const broken = join(tmpdir(), `podrate-broken-${process.pid}.o`);
  onTestFinished(() => rm(broken));
  await writeFile(broken, (await readFile(objectFile)).subarray(0, 4000));
  expect(() => scene.restart({ objectFile: broken }).shaper.install()).toThrow(BpfError);
  expect((await readdir(pinsIn(scene.pinDir).layout)).sort()).toEqual(['links', 'maps', `programs_${digest}`]);
});

test('nothing is mounted over a pin directory that is in no BPF file system', async () => {
  const pinDirectory = join(tmpdir(), `podrate-no-bpffs-${process.pid}`);
  onTestFinished(() => rm(pinDirectory, { recursive: true, force: true }));
  const shaper = createShaper({ pinDirectory, objectFile, releaseCgroup: undefined, cgroupMount: scene.mount });
  expect(() => shaper.install()).toThrow(BpfError);
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(pinDirectory);
});

test('removing detaches everything and leaves no pin', async () => {
  const cgroup = scene.make('a');
  scene.shaper.apply([attachStep(cgroup)]);
  scene.shaper.installRelease();
  scene.shaper.remove();
  expect(await scene.attached(cgroup.path)).toEqual([]);
  expect(await scene.attached(scene.root)).toEqual([]);
  await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
});

test('where another program is attached without multi, the failure names it, its cgroup and the remedy', async () => {
  const foreign: Foreign = await loadForeign(`${scene.pinDir}/foreign`);
  try {
    for (const [index, [name, at, flags]] of (
      [
        ['self', 'self', []],
        ['parent/child', 'parent', []],
        ['overridable', 'overridable', ['override']],
      ] as const
    ).entries()) {
      const cgroup = scene.make(name);
      const blocked = scene.make(at);
      await foreign.attach(blocked.path, ...flags);
      const [failure] = scene.shaper.apply([attachStep(cgroup, index + 1)]);
      expect(failure?.error.message).toContain(`the program somebody_elses (id `);
      expect(failure?.error.message).toContain(`is attached to ${blocked.path} for egress without multi`);
      expect(failure?.error.message).toContain(`bpftool cgroup detach ${blocked.path} egress id `);
      await foreign.detach(blocked.path);
    }
  } finally {
    await foreign.end();
  }
});
