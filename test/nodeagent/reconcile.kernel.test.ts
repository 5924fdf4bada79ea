import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { watchCgroups } from '../../nodeagent/cgroup-watch.ts';
import { createCgroups } from '../../nodeagent/cgroups.ts';
import type { ShapedPod } from '../../nodeagent/desired.ts';
import { hooks } from '../../nodeagent/hooks.ts';
import { generationOf } from '../../nodeagent/pins.ts';
import type { Reconciler } from '../../nodeagent/reconcile.ts';
import { configOfLimit } from '../../nodeagent/slot-config.ts';
import { uninstall } from '../../nodeagent/uninstall.ts';
import type { Dscp } from '../../rate/dscp.ts';
import { parseRate } from '../../rate/rate.ts';
import { StampError } from '../../rate/stamp.ts';
import { loadForeign } from './foreign.ts';
import { podOf, uidOf } from './pods.ts';
import { countingBpftool, makeScene, objectFile, type Scene, sendFrom } from './scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
let scene: Scene;
beforeEach(async () => {
  scene = await makeScene('reconcile');
});
afterEach(() => scene.end());

const burstable = (uid: string) => `kubepods/burstable/pod${uid}`;
const statesOf = async (reconciler: Reconciler, pods: readonly ShapedPod[], full = false) =>
  (await reconciler.pass(pods, full)).pods.map(({ state }) => state);

/** Limits a cgroup as the command line tool does. */
async function limitByHand() {
  const cgroup = scene.make('by-hand');
  const config = configOfLimit({ egress: parseRate('3M') }, 20);
  const owner = `manual/${cgroup.id}`;
  const generation = await generationOf(objectFile);
  await scene.shaper.install();
  await scene.shaper.apply([
    { kind: 'attach', generation, slot: 5, owner, cgroup, config, claim: true, fresh: true, hooks: [...hooks] },
  ]);
  return { cgroup, config };
}

/** Passes until nothing is waited for. */
async function settle(reconciler: Reconciler, pods: readonly ShapedPod[]) {
  for (;;) {
    const report = await reconciler.pass(pods, false);
    if (report.againInMs === undefined) return report;
    await wait(report.againInMs);
  }
}

describe('pods get their limit', () => {
  test.each([
    ['cgroupfs, guaranteed', (uid: string) => `kubepods/pod${uid}`],
    ['cgroupfs, burstable', burstable],
    ['cgroupfs, besteffort', (uid: string) => `kubepods/besteffort/pod${uid}`],
    ['systemd, guaranteed', (uid: string) => `kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice`],
    [
      'systemd, burstable',
      (uid: string) =>
        `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`,
    ],
    [
      'systemd, besteffort, in kind',
      (uid: string) =>
        `kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`,
    ],
  ])('under %s', async (_, pathOf) => {
    const uid = uidOf(1);
    const cgroup = scene.make(pathOf(uid));
    scene.make(`${pathOf(uid)}/container`);
    const { pods } = await scene.reconciler.pass([podOf(uid, { egress: '1M' })], true);
    expect(pods[0]?.state).toBe('in-force');
    expect(await scene.attached(cgroup.path)).toEqual(ours);
    expect(await scene.attached(`${cgroup.path}/container`)).toEqual([]);
  });

  test('but not where they ask only for a mark, also from then on when they lose their rate', async () => {
    const [uid, other] = [uidOf(1), uidOf(2)];
    const [marked, limited] = [scene.make(burstable(uid)), scene.make(burstable(other))];
    const onlyMarked = (of: string): ShapedPod => ({ ...podOf(of), limit: { dscp: 46 as Dscp } });
    expect(await statesOf(scene.reconciler, [onlyMarked(uid), podOf(other)], true)).toEqual(['no-limit', 'in-force']);
    expect(await scene.attached(marked.path)).toEqual([]);
    expect(await scene.attached(limited.path)).toEqual(ours);
    await settle(scene.reconciler, [onlyMarked(uid), onlyMarked(other)]);
    expect(await scene.attached(limited.path)).toEqual([]);
  });

  test('as static pods, whose cgroup is named after their hash', async () => {
    const hash = '0123456789abcdef0123456789abcdef';
    scene.make(`kubepods/pod${hash}`);
    expect(await statesOf(scene.reconciler, [{ ...podOf(uidOf(1)), cgroupUid: hash }])).toEqual(['in-force']);
  });

  test('a hundred at once, with two runs of bpftool in all', async () => {
    const bpftool = countingBpftool(scene.bpftool);
    const { reconciler } = scene.restart({ bpftool });
    await reconciler.pass([], true);
    const pods = Array.from({ length: 100 }, (_, number) => podOf(uidOf(number)));
    for (const pod of pods) scene.make(burstable(pod.uid));
    bpftool.runs = 0;
    expect(new Set(await statesOf(reconciler, pods))).toEqual(new Set(['in-force']));
    expect(bpftool.runs).toBe(2);
  });

  test('a pod without a cgroup waits, and gets its limit when the cgroup appears', async () => {
    const pod = podOf(uidOf(1));
    const first = await scene.reconciler.pass([pod], true);
    expect(first).toMatchObject({ pods: [{ state: 'no-cgroup' }], againInMs: 250, failures: [] });
    scene.make(burstable(pod.uid));
    expect(await statesOf(scene.reconciler, [pod])).toEqual(['in-force']);
  });

  test('inotify tells of a pod cgroup, and a pass follows before anything could start in it', async () => {
    scene.make('kubepods/burstable');
    const pod = podOf(uidOf(1));
    const { parents } = await scene.reconciler.pass([pod], true);
    const { promise, resolve } = Promise.withResolvers<void>();
    const watch = watchCgroups(resolve);
    try {
      watch.set(parents);
      scene.make(burstable(pod.uid));
      await promise;
      expect(await statesOf(scene.reconciler, [pod])).toEqual(['in-force']);
    } finally {
      watch.close();
    }
  });
});

describe('a changed stamp', () => {
  test('changes the config in the kernel and detaches nothing', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1), '1M')], true);
    await sendFrom(cgroup.path, 3);
    const report = await scene.reconciler.pass([podOf(uidOf(1), { egress: '2M' })], false);
    expect(report.steps).toEqual({ update: 1 });
    expect(report.slots[0]?.config).toEqual(configOfLimit({ egress: parseRate('2M') }));
    const [counters] = await scene.shaper.counters(report.slots);
    expect(counters?.egress.passed.packets).toBe(3);
  });

  test('that cannot be read leaves the limit as it was, and says so', async () => {
    scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1), '1M')], true);
    const invalid = { ...podOf(uidOf(1)), limit: new StampError('stamp/not-json', 'x', 'is not JSON') };
    const report = await scene.reconciler.pass([invalid], false);
    expect(report).toMatchObject({ steps: {}, pods: [{ state: 'invalid-stamp' }], slots: [{ marked: true }] });
  });

  test('that goes away sets the sockets free first and then takes the programs off', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    const first = await scene.reconciler.pass([], false);
    expect(first.steps).toEqual({ update: 1 });
    expect(first.slots[0]?.config.release).toBe(true);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
    const last = await settle(scene.reconciler, []);
    expect(last.slots).toEqual([]);
    expect(await scene.attached(cgroup.path)).toEqual([]);
  });

  test('that goes away and comes back finds the cgroup as new', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    const pod = podOf(uidOf(1));
    await scene.reconciler.pass([pod], true);
    await settle(scene.reconciler, []);
    expect(await statesOf(scene.reconciler, [pod])).toEqual(['in-force']);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
  });
});

describe('a restarted agent', () => {
  test('adopts what is there: counters go on, and nothing is attached twice', async () => {
    const pods = [1, 2, 3].map((number) => podOf(uidOf(number)));
    const cgroups = pods.map(({ uid }) => scene.make(burstable(uid)));
    await scene.reconciler.pass(pods, true);
    await sendFrom(cgroups[0]?.path ?? '', 4);
    const { shaper, reconciler } = scene.restart();
    const report = await reconciler.pass(pods, true);
    expect(report.steps).toEqual({});
    expect(report.pods.map(({ state }) => state)).toEqual(['in-force', 'in-force', 'in-force']);
    const [counters] = await shaper.counters(report.slots);
    expect(counters?.egress.passed.packets).toBe(4);
    for (const { path } of cgroups) expect(await scene.attached(path)).toEqual(ours);
    expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
  });

  test('takes the limit off a pod that lost it meanwhile, and frees the slot of one that ended', async () => {
    const kept = scene.make(burstable(uidOf(1)));
    scene.make(burstable(uidOf(2)));
    await scene.reconciler.pass([podOf(uidOf(1)), podOf(uidOf(2))], true);
    await scene.remove(burstable(uidOf(2)));
    const { slots } = await settle(scene.restart().reconciler, []);
    expect(slots).toEqual([]);
    expect(await scene.attached(kept.path)).toEqual([]);
  });

  test('puts back a program that somebody took off, and keeps the counters', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    const { slots } = await scene.reconciler.pass([podOf(uidOf(1))], true);
    await sendFrom(cgroup.path, 2);
    const generation = slots[0]?.generation ?? '';
    const pin = scene.pins.program(generation, 'podrate_ingress');
    await scene.bpftool.run(['cgroup', 'detach', cgroup.path, 'ingress', 'pinned', pin]);
    const report = await scene.reconciler.pass([podOf(uidOf(1))], true);
    expect(report.steps).toEqual({ attach: 1 });
    expect(await scene.attached(cgroup.path)).toEqual(ours);
    expect((await scene.shaper.counters(report.slots))[0]?.egress.passed.packets).toBe(2);
  });

  test('whose pins were deleted limits the pod anew and takes the orphaned programs off', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    await scene.pins.remove(await generationOf(objectFile));
    const { reconciler } = scene.restart();
    expect(await statesOf(reconciler, [podOf(uidOf(1))], true)).toEqual(['in-force']);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
  });
});

test('a changed label is in force after one run of bpftool, which checks it too', async () => {
  const cgroup = scene.make(burstable(uidOf(1)));
  const bpftool = countingBpftool(scene.bpftool);
  const { reconciler } = scene.restart({ bpftool });
  await reconciler.pass([podOf(uidOf(1), '1M')], true);
  bpftool.runs = 0;
  const { pods, steps } = await reconciler.pass([podOf(uidOf(1), '2M')], false);
  expect(pods).toMatchObject([
    { state: 'in-force', slot: { cgroupId: cgroup.id, config: { egress: { rate: 2_000_000 } } } },
  ]);
  expect(steps).toEqual({ update: 1 });
  expect(bpftool.runs).toBe(1);
});

test('a label that changed while the pins were lost is attached anew, and not written to a slot that is none', async () => {
  scene.make(burstable(uidOf(1)));
  await scene.reconciler.pass([podOf(uidOf(1), '1M')], true);
  await scene.pins.remove(await generationOf(objectFile));
  const { pods, steps } = await scene.reconciler.pass([podOf(uidOf(1), '2M')], false);
  expect(pods).toMatchObject([{ state: 'in-force', slot: { config: { egress: { rate: 2_000_000 } } } }]);
  expect(steps).toMatchObject({ attach: 1 });
  expect(steps).not.toHaveProperty('update');
});

test('a thorough pass that another one waits for does what is to be done, and verifies nothing', async () => {
  scene.make(burstable(uidOf(1)));
  const bpftool = countingBpftool(scene.bpftool);
  const { shaper, reconciler } = scene.restart({ bpftool });
  await shaper.install();
  bpftool.runs = 0;
  const report = await reconciler.pass([podOf(uidOf(1))], true, () => true);
  expect(report.pods[0]?.state).toBe('in-force');
  expect(bpftool.runs).toBe(2);
  expect(await scene.attached(scene.root)).toEqual([]);
  await reconciler.pass([podOf(uidOf(1))], true);
  expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
});

describe('nothing is left over', () => {
  test('after fifty pods came and went: no slot, no entry, no attachment, no pin but the generation’s', async () => {
    scene.make('kubepods/burstable');
    await scene.reconciler.pass([], true);
    for (let number = 0; number < 50; number += 1) {
      const pod = podOf(uidOf(number));
      scene.make(burstable(pod.uid));
      if (number % 3 === 0) scene.make(`${burstable(pod.uid)}/container`);
      expect(await statesOf(scene.reconciler, [pod])).toEqual(['in-force']);
      await scene.remove(burstable(pod.uid));
    }
    const { slots } = await settle(scene.reconciler, []);
    expect(slots).toEqual([]);
    const { known } = await scene.shaper.observe(() => []);
    expect([...known.values()].map((entries) => entries.size)).toEqual([0]);
    expect(await readdir(scene.pinDir)).toEqual([await generationOf(objectFile)]);
  });

  test('after an uninstall: all programs off, the hand-limited ones too, and no pins', async () => {
    const pod = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    const { shaper } = scene.restart();
    const failures = await uninstall(shaper, createCgroups({ root: scene.root, mount: scene.mount }), wait);
    expect(failures).toEqual([]);
    expect(await scene.attached(pod.path)).toEqual([]);
    expect(await scene.attached(scene.root)).toEqual([]);
    await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
  });
});

describe('other programs', () => {
  test('on a pod’s cgroup are never touched', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    await scene.shaper.install();
    const foreign = await loadForeign(`${scene.pinDir}/foreign`);
    try {
      await foreign.attach(cgroup.path, 'multi');
      await scene.reconciler.pass([podOf(uidOf(1))], true);
      expect(await scene.attached(cgroup.path)).toEqual([
        'egress podrate_egress',
        'egress somebody_elses',
        ...ours.slice(1),
      ]);
      await settle(scene.reconciler, []);
      expect(await scene.attached(cgroup.path)).toEqual(['egress somebody_elses']);
    } finally {
      await foreign.end();
    }
  });

  test('that shut ours out from one pod do not keep others from being limited', async () => {
    const blocked = scene.make(burstable(uidOf(1)));
    scene.make(burstable(uidOf(2)));
    await scene.shaper.install();
    const foreign = await loadForeign(`${scene.pinDir}/foreign`);
    const pods = [podOf(uidOf(1)), podOf(uidOf(2))];
    try {
      await foreign.attach(blocked.path);
      const report = await scene.reconciler.pass(pods, true);
      expect(report.pods).toMatchObject([{ state: 'failed' }, { state: 'in-force' }]);
      expect(report.failures[0]?.error.message).toContain('somebody_elses');
      await foreign.detach(blocked.path);
      expect(await statesOf(scene.reconciler, pods)).toEqual(['in-force', 'in-force']);
      expect(await scene.attached(blocked.path)).toEqual(ours);
    } finally {
      await foreign.end();
    }
  });
});

describe('another generation of the object', () => {
  let newer: string;
  beforeEach(async () => {
    newer = join(tmpdir(), `podrate-newer-${process.pid}.o`);
    // Bytes after the end of the file make another generation of the same programs.
    await writeFile(newer, Buffer.concat([await readFile(objectFile), Buffer.from('newer')]));
  });
  afterEach(() => rm(newer));

  test('takes over pod by pod, and the old one’s pins go when nothing needs them', async () => {
    const pods = [1, 2, 3].map((number) => podOf(uidOf(number)));
    const cgroups = pods.map(({ uid }) => scene.make(burstable(uid)));
    await scene.reconciler.pass(pods, true);
    const { reconciler } = scene.restart({ objectFile: newer });
    const report = await reconciler.pass(pods, true);
    expect(report.steps).toEqual({ attach: 3, detach: 3, 'remove-generation': 1 });
    expect(new Set(report.slots.map((slot) => slot.generation))).toEqual(new Set([await generationOf(newer)]));
    for (const { path } of cgroups) expect(await scene.attached(path)).toEqual(ours);
    expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
    expect(await readdir(scene.pinDir)).toEqual([await generationOf(newer)]);
  });

  test('also takes over what was limited by hand, with its own limit', async () => {
    const { cgroup, config } = await limitByHand();
    const { slots } = await scene.restart({ objectFile: newer }).reconciler.pass([], true);
    expect(slots).toMatchObject([
      { generation: await generationOf(newer), owner: `manual/${cgroup.id}`, config, marked: true },
    ]);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
    expect(await readdir(scene.pinDir)).toEqual([await generationOf(newer)]);
  });
});

test('what was limited by hand is left alone, and freed when its cgroup is gone', async () => {
  const { cgroup } = await limitByHand();
  expect((await scene.reconciler.pass([], true)).steps).toEqual({});
  expect(await scene.attached(cgroup.path)).toEqual(ours);
  await scene.remove('by-hand');
  await wait(100);
  expect((await settle(scene.reconciler, [])).slots).toEqual([]);
});
