import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Cgroup } from '../../../nodeagent/cgroup/tree.ts';
import { pinsIn } from '../../../nodeagent/shaper/pins.ts';
import { uninstall } from '../../../nodeagent/uninstall.ts';
import { podOf, uidOf } from '../pods.ts';
import { makeScene, type Scene } from '../scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
const twice = ours.flatMap((program) => [program, program]);
let scene: Scene;
let pod: Cgroup;
let byHand: Cgroup;
beforeEach(async () => {
  scene = await makeScene('layouts');
  pod = scene.make(`kubepods/burstable/pod${uidOf(1)}`);
  byHand = scene.make('by-hand');
});
afterEach(() => scene.end());

/** What a version with another layout of the maps has left: links. @returns its directory */
async function leave() {
  scene.shaper.install();
  scene.shaper.installRelease();
  const config = { egress: { rate: 1e6, burstNs: 0 }, ingress: { rate: 0, burstNs: 0 }, release: false, queued: false };
  for (const [index, cgroup] of [pod, byHand].entries()) {
    const owner = index === 0 ? `pod/${uidOf(1)}` : `manual/${cgroup.id}`;
    scene.shaper.apply([{ kind: 'attach', slot: index + 1, owner, cgroup, config, claim: true, fresh: true }]);
  }
  await rename(pinsIn(scene.pinDir).layout, join(scene.pinDir, 'layout_4711'));
  // Maps of another layout cannot be read.
  await rm(join(scene.pinDir, 'layout_4711/maps/podrate_owners'));
}

const pass = (pods: readonly number[]) =>
  scene.restart().reconciler.pass(
    pods.map((number) => podOf(uidOf(number))),
    true,
  );

test('what another layout has attached leaves a pod once its limit is in force, and what is limited by hand stays', async () => {
  await leave();
  expect(await scene.attached(pod.path)).toEqual(ours);
  expect((await pass([1])).pods[0]?.state).toBe('in-force');
  expect(await scene.attached(pod.path)).toEqual(ours);
  expect(scene.shaper.observe()).toMatchObject([{ cgroupId: pod.id, isMapped: true }]);
  expect(await scene.attached(byHand.path)).toEqual(ours);
  expect(scene.shaper.hasOtherLayouts()).toBe(true);
});

test('what another layout has attached leaves a pod that asks for no limit', async () => {
  await leave();
  await pass([]);
  expect(await scene.attached(pod.path)).toEqual([]);
  expect(await scene.attached(byHand.path)).toEqual(ours);
});

test('another layout goes altogether once nothing is limited by it any more', async () => {
  await leave();
  await scene.remove('by-hand');
  await wait(100);
  await pass([1]);
  expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
  expect(scene.shaper.hasOtherLayouts()).toBe(false);
});

test('an uninstall takes another layout off, also where pins of it were lost, and nothing else', async () => {
  await leave();
  const layout = join(scene.pinDir, 'layout_4711');
  await rm(join(layout, 'maps'), { recursive: true, force: true });
  for (const name of await readdir(layout)) {
    if (name.startsWith('programs')) await rm(join(layout, name, 'podrate_egress'));
  }
  const marker = { isUsed: () => false, clearAll: () => [] };
  expect(await uninstall({ shaper: scene.shaper, marker }, [], wait)).toEqual([]);
  for (const { path } of [pod, byHand]) expect(await scene.attached(path)).toEqual([]);
  expect(await scene.attached(scene.root)).toEqual([]);
  await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
});

test('a downgrade to a version with an older layout and back again keeps the pod limited all the time', async () => {
  await pass([1]);
  const layout = pinsIn(scene.pinDir).layout;
  await rename(layout, `${layout}000`);
  await pass([1]);
  expect(await scene.attached(pod.path)).toEqual(ours);
  await rename(layout, `${layout}001`);
  await rm(join(`${layout}001`, 'maps'), { recursive: true });
  expect(await scene.attached(pod.path)).toEqual(ours);
  await pass([1]);
  expect(await scene.attached(pod.path)).toEqual(ours);
  expect(await scene.attached(pod.path)).not.toEqual(twice);
});
