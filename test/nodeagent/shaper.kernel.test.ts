import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { BpftoolError, createBpftool } from '../../nodeagent/bpftool.ts';
import { slotCount } from '../../nodeagent/layout.ts';
import { readAttached } from '../../nodeagent/observe.ts';
import { createPins, generationOf } from '../../nodeagent/pins.ts';
import { configOfLimit } from '../../nodeagent/slot-config.ts';
import type { AttachStep, Cgroup } from '../../nodeagent/state.ts';
import { parseRate } from '../../rate/rate.ts';
import { type Foreign, loadForeign } from './foreign.ts';
import { countingBpftool, makeScene, objectFile, type Scene, sendFrom } from './scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
let scene: Scene;
let generation: string;
beforeEach(async () => {
  scene = await makeScene('shaper');
  await scene.shaper.install();
  generation = await generationOf(objectFile);
});
afterEach(() => scene.end());

function attachStep(cgroup: Cgroup, slot = 1, more: Partial<AttachStep> = {}): AttachStep {
  const config = configOfLimit({ egress: parseRate('1M') });
  const owner = `pod/${slot}`;
  return {
    ...{ kind: 'attach', generation, slot, owner, cgroup, config, claim: true, fresh: true },
    hooks: ['egress', 'ingress', 'sockops'],
    ...more,
  };
}

test('installing pins the programs and maps of one generation, with room for all slots', async () => {
  expect(await scene.pins.list()).toEqual([generation]);
  expect(await scene.pins.complete(generation)).toBe(true);
  for (const name of ['configs', 'states', 'counters', 'owners'] as const) {
    const map = await scene.bpftool.run(['map', 'show', 'pinned', scene.pins.map(generation, name)]);
    expect(map).toMatchObject({ max_entries: slotCount });
  }
});

test('installing again runs nothing, and two that install at once end with one generation', async () => {
  const bpftool = countingBpftool(scene.bpftool);
  const again = scene.restart({ bpftool });
  await again.shaper.install();
  const { runs } = bpftool;
  await again.shaper.install();
  expect(bpftool.runs).toBe(runs);

  await scene.pins.remove(generation);
  await Promise.all(Array.from({ length: 4 }, () => scene.restart().shaper.install()));
  expect(await readdir(scene.pinDir)).toEqual([generation]);
});

test('what a load that was killed left behind is cleared away, once it is old', async () => {
  const left = join(scene.pinDir, `loading_${generation}_1_1`);
  await mkdir(left);
  await scene.bpftool.run(['prog', 'loadall', objectFile, join(left, 'programs')]);
  await scene.pins.tidy();
  expect(await readdir(scene.pinDir)).toContain(`loading_${generation}_1_1`);
  const later = createPins({ directory: scene.pinDir, bpftool: scene.bpftool, now: () => Date.now() + 120_000 });
  await later.tidy();
  expect(await readdir(scene.pinDir)).toEqual([generation]);
});

test('attaching puts three programs on the cgroup and is seen', async () => {
  const cgroup = scene.make('a');
  expect(await scene.shaper.apply([attachStep(cgroup)])).toEqual([]);
  expect(await scene.attached(cgroup.path)).toEqual(ours);
  const { slots, known, attached } = await scene.shaper.observe(() => [cgroup]);
  const config = {
    egress: { rate: 1_000_000, burstNs: 0 },
    ingress: { rate: 0, burstNs: 0 },
    release: false,
    queued: false,
  };
  expect(slots).toEqual([{ generation, slot: 1, cgroupId: cgroup.id, owner: 'pod/1', config, marked: true }]);
  expect(known.get(generation)).toEqual(new Map([[cgroup.id, 1]]));
  expect(attached.get(cgroup.id)?.get(generation)).toEqual(new Set(['egress', 'ingress', 'sockops']));
});

test('an update changes the limit and nothing else, also not the counters', async () => {
  const cgroup = scene.make('a');
  await scene.shaper.apply([attachStep(cgroup)]);
  await sendFrom(cgroup.path, 5);
  const [before] = await scene.shaper.counters([{ generation, slot: 1 }]);
  expect(before?.egress.passed.packets).toBe(5);
  const config = configOfLimit({ egress: parseRate('2M'), ingress: parseRate('3M') });
  await scene.shaper.apply([{ kind: 'update', generation, slot: 1, owner: 'pod/1', config }]);
  expect((await scene.shaper.observe(() => [])).slots[0]?.config).toEqual(config);
  expect(await scene.shaper.counters([{ generation, slot: 1 }])).toEqual([before]);
  expect(await scene.attached(cgroup.path)).toEqual(ours);
});

test('a new owner of a slot starts with counters at zero', async () => {
  const first = scene.make('a');
  await scene.shaper.apply([attachStep(first)]);
  await sendFrom(first.path, 5);
  await scene.shaper.apply([
    {
      ...{ kind: 'detach', generation, slot: 1, owner: 'pod/1', cgroup: first, known: true },
      hooks: ['egress', 'ingress', 'sockops'],
    },
  ]);
  expect(await scene.attached(first.path)).toEqual([]);
  await scene.shaper.apply([attachStep(scene.make('b'))]);
  const [counters] = await scene.shaper.counters([{ generation, slot: 1 }]);
  expect(counters?.egress.passed).toEqual({ packets: 0, bytes: 0 });
});

test('a step that fails is named, and the steps around it are done', async () => {
  const cgroups = ['a', 'b', 'c'].map((name) => scene.make(name));
  const steps = cgroups.map((cgroup, index) => attachStep(cgroup, index + 1));
  await scene.shaper.apply([attachStep(scene.make('d'), 2)]);
  const failures = await scene.shaper.apply(steps);
  expect(failures.map(({ step }) => 'slot' in step && step.slot)).toEqual([2]);
  expect(failures[0]?.error.message).toContain('File exists');
  expect(await Promise.all(cgroups.map(({ path }) => scene.attached(path)))).toEqual([ours, [], ours]);
});

test('a cgroup that vanishes between look-up and attach is no error', async () => {
  const gone = scene.make('gone');
  const there = scene.make('there');
  await scene.remove('gone');
  expect(await scene.shaper.apply([attachStep(gone, 1), attachStep(there, 2)])).toEqual([]);
  expect(await scene.attached(there.path)).toEqual(ours);
});

test('a cgroup that vanishes while it is looked at is left out', async () => {
  const gone = scene.make('gone');
  const there = scene.make('there');
  await scene.remove('gone');
  const { attached } = await scene.shaper.observe(() => [gone, there]);
  expect(attached.get(there.id)).toEqual(new Map());
});

test('a cgroup with a space, a quote or a percent sign in its name can be limited', async () => {
  for (const [index, name] of ["it's a cgroup", '100%'].entries()) {
    const cgroup = scene.make(name);
    expect(await scene.shaper.apply([attachStep(cgroup, index + 1)])).toEqual([]);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
  }
});

test('the sender half is attached once, however often it is asked for', async () => {
  expect(await scene.shaper.installRelease()).toBeUndefined();
  const again = scene.restart().shaper;
  expect(await again.install()).toBe(false);
  expect(await again.install()).toBe(true);
  expect(await again.installRelease()).toBeUndefined();
  expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
});

test('bpftool that is missing is named, with the remedy', async () => {
  const bpftool = createBpftool({ file: '/nonexistent/bpftool', timeoutMs: 1000 });
  const { shaper } = scene.restart({ bpftool });
  await scene.pins.remove(generation);
  await expect(shaper.install()).rejects.toThrow('/nonexistent/bpftool is not installed: install it');
});

test('an object that the kernel refuses is refused as a whole and leaves nothing behind', async () => {
  const broken = join(tmpdir(), `podrate-broken-${process.pid}.o`);
  onTestFinished(() => rm(broken));
  await writeFile(broken, (await readFile(objectFile)).subarray(0, 4000));
  await expect(scene.restart({ objectFile: broken }).shaper.install()).rejects.toThrow(BpftoolError);
  expect(await readdir(scene.pinDir)).toEqual([generation]);
});

test('nothing is mounted over a pin directory that is in no BPF file system', async () => {
  const directory = join(tmpdir(), `podrate-no-bpffs-${process.pid}`);
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const pins = createPins({ directory, bpftool: scene.bpftool });
  await expect(pins.load(objectFile, generation)).rejects.toThrow(BpftoolError);
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(directory);
});

test('removing takes the sender half off and leaves no pin', async () => {
  await scene.shaper.installRelease();
  await scene.shaper.remove();
  expect(await scene.attached(scene.root)).toEqual([]);
  await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
});

test('where somebody else attached without multi, the failure names the program, its cgroup and the remedy', async () => {
  const foreign: Foreign = await loadForeign(`${scene.pinDir}/foreign`);
  try {
    for (const [name, at, flags] of [
      ['self', 'self', []],
      ['parent/child', 'parent', []],
      ['overridable', 'overridable', ['override']],
    ] as const) {
      const cgroup = scene.make(name);
      const blocked = scene.make(at);
      await foreign.attach(blocked.path, ...flags);
      const [failure] = await scene.shaper.apply([attachStep(cgroup, 9)]);
      expect(failure?.error.message).toContain(`the program somebody_elses (id `);
      expect(failure?.error.message).toContain(`is attached to ${blocked.path} for egress without multi`);
      expect(failure?.error.message).toContain(`bpftool cgroup detach ${blocked.path} egress id `);
      await foreign.detach(blocked.path);
      await scene.bpftool.run([
        'map',
        'delete',
        'pinned',
        scene.pins.map(generation, 'owners'),
        'key',
        ...'hex 09 00 00 00'.split(' '),
      ]);
    }
  } finally {
    await foreign.end();
  }
});

test.each(['5.10.0-36-amd64', '6.1.0-40-amd64'])(
  "a cgroup's own programs are told from those above it, with what bpftool can say on Linux %s",
  async (release) => {
    const [parent, child] = [scene.make('parent'), scene.make('parent/child')];
    expect(await scene.shaper.apply([attachStep(parent, 1), attachStep(child, 2, { hooks: ['egress'] })])).toEqual([]);
    const found = await readAttached(scene.bpftool, [parent, child], release);
    const names = (cgroup: Cgroup) =>
      found
        .get(cgroup.id)
        ?.map(({ name }) => name)
        .sort();
    expect(names(parent)).toEqual(['podrate_egress', 'podrate_ingress', 'podrate_sockops']);
    expect(names(child)).toEqual(['podrate_egress']);
  },
);
