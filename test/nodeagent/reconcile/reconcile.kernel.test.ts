import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { watchCgroups } from '../../../nodeagent/cgroup/watch.ts';
import { configOfLimit, type ShapedPod } from '../../../nodeagent/pods/desired.ts';
import type { Reconciler } from '../../../nodeagent/reconcile/reconcile.ts';
import { digestOf, pinsIn } from '../../../nodeagent/shaper/pins.ts';
import { uninstall } from '../../../nodeagent/uninstall.ts';
import type { Dscp } from '../../../rate/dscp.ts';
import { parseRate } from '../../../rate/rate.ts';
import { StampError } from '../../../rate/stamp.ts';
import { loadForeign } from '../foreign.ts';
import { podOf, uidOf } from '../pods.ts';
import { makeScene, objectFile, type Scene, sendFrom } from '../scene.ts';

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
  scene.shaper.install();
  scene.shaper.apply([{ kind: 'attach', slot: 5, owner, cgroup, config, claim: true, fresh: true }]);
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

  test('and are told where it holds nothing, because no process is in the cgroup', async () => {
    const uid = uidOf(1);
    const cgroup = scene.make(burstable(uid));
    const pod = { ...podOf(uid), hasProcess: true };
    expect(await statesOf(scene.reconciler, [pod], true)).toEqual(['in-force']);
    expect(await statesOf(scene.reconciler, [pod], true)).toEqual(['no-process']);
    expect(await statesOf(scene.reconciler, [pod])).toEqual(['no-process']);
    const process = execa('sleep', ['60'], { reject: false });
    try {
      await writeFile(join(cgroup.path, 'cgroup.procs'), String(process.pid));
      expect(await statesOf(scene.reconciler, [pod], true)).toEqual(['in-force']);
    } finally {
      process.kill();
      await process;
    }
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

  test('but not in the cgroup of the static pod whose hash a pod with a cgroup of its own claims', async () => {
    const hash = '0123456789abcdef0123456789abcdef';
    const [victim, own] = [scene.make(`kubepods/pod${hash}`), scene.make(burstable(uidOf(1)))];
    expect(await statesOf(scene.reconciler, [{ ...podOf(uidOf(1)), cgroupUid: hash }])).toEqual(['in-force']);
    expect(await scene.attached(own.path)).toEqual(ours);
    expect(await scene.attached(victim.path)).toEqual([]);
  });

  test('a hundred at once', async () => {
    await scene.reconciler.pass([], true);
    const pods = Array.from({ length: 100 }, (_, number) => podOf(uidOf(number)));
    for (const pod of pods) scene.make(burstable(pod.uid));
    expect(new Set(await statesOf(scene.reconciler, pods))).toEqual(new Set(['in-force']));
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
    expect(report).toMatchObject({ steps: {}, pods: [{ state: 'invalid-stamp' }], slots: [{ isMapped: true }] });
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

  test('puts back links that somebody detached or unpinned, of all pods at once, and keeps the counters', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    await sendFrom(cgroup.path, 2);
    const { link } = pinsIn(scene.pinDir);
    await execa('bpftool', ['link', 'detach', 'pinned', link(cgroup.id, 'ingress')]);
    await rm(link(cgroup.id, 'sockops'));
    const report = await scene.reconciler.pass([podOf(uidOf(1))], true);
    expect(report.steps).toEqual({ attach: 1 });
    expect(await scene.attached(cgroup.path)).toEqual(ours);
    expect((await scene.shaper.counters(report.slots))[0]?.egress.passed.packets).toBe(2);
  });

  test('whose pins were deleted limits the pod anew: nothing is attached without a pin', async () => {
    const cgroup = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    await rm(scene.pinDir, { recursive: true });
    expect(await scene.attached(cgroup.path)).toEqual([]);
    const { reconciler } = scene.restart();
    expect(await statesOf(reconciler, [podOf(uidOf(1))], true)).toEqual(['in-force']);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
  });
});

test('a label that changed while the pins were lost is attached anew, and not written to a slot that is none', async () => {
  scene.make(burstable(uidOf(1)));
  await scene.reconciler.pass([podOf(uidOf(1), '1M')], true);
  await rm(scene.pinDir, { recursive: true });
  const { pods, steps } = await scene.reconciler.pass([podOf(uidOf(1), '2M')], false);
  expect(pods).toMatchObject([{ state: 'in-force', slot: { config: { egress: { rate: 2_000_000 } } } }]);
  expect(steps).toMatchObject({ attach: 1 });
  expect(steps).not.toHaveProperty('update');
});

describe('nothing is left over', () => {
  test('after fifty pods came and went: no slot and no link but the release program’s', async () => {
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
    expect(await readdir(pinsIn(scene.pinDir).links)).toEqual(['release']);
    expect(await readdir(scene.pinDir)).toEqual([basename(pinsIn(scene.pinDir).layout)]);
  });

  test('after an uninstall: all programs off, the hand-limited ones too, and no pins', async () => {
    const pod = scene.make(burstable(uidOf(1)));
    await scene.reconciler.pass([podOf(uidOf(1))], true);
    const { shaper } = scene.restart();
    const marker = { isUsed: () => false, clearAll: () => [] };
    expect(await uninstall({ shaper, marker }, [], wait)).toEqual([]);
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

describe('another version of the programs with the same maps', () => {
  let newer: string;
  beforeEach(async () => {
    newer = join(tmpdir(), `podrate-newer-${process.pid}.o`);
    // Bytes after the end of the file make another version of the same programs.
    await writeFile(newer, Buffer.concat([await readFile(objectFile), Buffer.from('newer')]));
  });
  afterEach(() => rm(newer));
  const versions = async () =>
    (await readdir(pinsIn(scene.pinDir).layout)).filter((name) => name.startsWith('programs_'));

  test('takes over link by link and keeps slots and counters, and the old pins go', async () => {
    const pods = [1, 2, 3].map((number) => podOf(uidOf(number)));
    const cgroups = pods.map(({ uid }) => scene.make(burstable(uid)));
    const before = await scene.reconciler.pass(pods, true);
    await sendFrom(cgroups[0]?.path ?? '', 3);
    const { reconciler, shaper } = scene.restart({ objectFile: newer });
    const report = await reconciler.pass(pods, true);
    expect(report.steps).toEqual({ upgrade: 3 });
    expect(report.slots).toEqual(before.slots);
    expect(shaper.counters(report.slots)[0]?.egress.passed.packets).toBe(3);
    for (const { path } of cgroups) expect(await scene.attached(path)).toEqual(ours);
    expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
    expect(await versions()).toEqual([`programs_${digestOf(newer)}`]);
    expect((await scene.restart().reconciler.pass(pods, true)).steps).toEqual({ upgrade: 3 });
    expect(await versions()).toEqual([`programs_${digestOf(objectFile)}`]);
  });

  test('takes over what was limited by hand too', async () => {
    const { cgroup, config } = await limitByHand();
    const { slots } = await scene.restart({ objectFile: newer }).reconciler.pass([], true);
    expect(slots).toMatchObject([{ owner: `manual/${cgroup.id}`, config, isMapped: true }]);
    expect(await scene.attached(cgroup.path)).toEqual(ours);
    expect(await versions()).toEqual([`programs_${digestOf(newer)}`]);
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
