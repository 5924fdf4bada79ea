import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Cgroup } from '../../../nodeagent/cgroup/cgroup.ts';
import { createCgroups } from '../../../nodeagent/cgroup/tree.ts';
import { uninstall } from '../../../nodeagent/reconcile/uninstall.ts';
import { pinsIn } from '../../../nodeagent/shaper/pins.ts';
import { podOf, uidOf } from '../pods.ts';
import { makeScene, objectFile, type Scene } from '../scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
const twice = ours.flatMap((program) => [program, program]);
const attachTypes = [
  ['egress', 'podrate_egress'],
  ['ingress', 'podrate_ingress'],
  ['sock_ops', 'podrate_sockops'],
] as const;
let scene: Scene;
let pod: Cgroup;
let byHand: Cgroup;
beforeEach(async () => {
  scene = await makeScene('layouts');
  pod = scene.make(`kubepods/burstable/pod${uidOf(1)}`);
  byHand = scene.make('by-hand');
});
afterEach(() => scene.end());

/** What a version that ran bpftool has left: a generation of programs and maps, attached without links. */
async function leaveGeneration() {
  const generation = join(scene.pinDir, '0123456789ab');
  const programs = join(generation, 'programs');
  await mkdir(programs, { recursive: true });
  await execa('bpftool', ['prog', 'loadall', objectFile, programs, 'pinmaps', join(generation, 'maps')]);
  for (const { path } of [pod, byHand]) {
    for (const [type, name] of attachTypes) {
      await execa('bpftool', ['cgroup', 'attach', path, type, 'pinned', join(programs, name), 'multi']);
    }
  }
  const release = join(programs, 'podrate_release');
  await execa('bpftool', ['cgroup', 'attach', scene.root, 'sock_ops', 'pinned', release, 'multi']);
  return generation;
}

/** What a version with another layout of the maps has left: links. */
async function leaveLayout() {
  scene.shaper.install();
  scene.shaper.installRelease();
  const config = { egress: { rate: 1e6, burstNs: 0 }, ingress: { rate: 0, burstNs: 0 }, release: false, queued: false };
  for (const [index, cgroup] of [pod, byHand].entries()) {
    const owner = index === 0 ? `pod/${uidOf(1)}` : `manual/${cgroup.id}`;
    scene.shaper.apply([{ kind: 'attach', slot: index + 1, owner, cgroup, config, claim: true, fresh: true }]);
  }
  const layout = join(scene.pinDir, 'layout_4711');
  await rename(pinsIn(scene.pinDir).layout, layout);
  // Maps of another layout cannot be read.
  await rm(join(layout, 'maps', 'owners'));
  return layout;
}

const remove = () => uninstall(scene.shaper, createCgroups({ root: scene.root, mount: scene.root }), wait);
const pass = (pods: readonly number[]) =>
  scene.restart().reconciler.pass(
    pods.map((number) => podOf(uidOf(number))),
    true,
  );

describe.each([
  ['a version that ran bpftool', leaveGeneration],
  ['a version with another layout of the maps', leaveLayout],
])('what %s has left', (_, leave) => {
  test('leaves a pod once its limit is in force, and what is limited by hand stays', async () => {
    const directory = await leave();
    expect(await scene.attached(pod.path)).toEqual(ours);
    expect((await pass([1])).pods[0]?.state).toBe('in-force');
    expect(await scene.attached(pod.path)).toEqual(ours);
    expect(scene.shaper.observe()).toMatchObject([{ cgroupId: pod.id, isMapped: true }]);
    expect(await scene.attached(byHand.path)).toEqual(ours);
    expect(await readdir(scene.pinDir)).toContain(directory.split('/').at(-1));
  });

  test('leaves a pod that asks for no limit', async () => {
    await leave();
    await pass([]);
    expect(await scene.attached(pod.path)).toEqual([]);
    expect(await scene.attached(byHand.path)).toEqual(ours);
  });

  test('goes altogether once nothing is limited by it any more', async () => {
    const directory = await leave();
    await scene.remove('by-hand');
    await wait(100);
    await pass([1]);
    await pass([1]);
    expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
    expect(await readdir(scene.pinDir)).not.toContain(directory.split('/').at(-1));
  });

  test('is taken off by an uninstall, also where pins of it were lost', async () => {
    const directory = await leave();
    await rm(join(directory, 'maps'), { recursive: true, force: true });
    for (const name of await readdir(directory)) {
      if (name.startsWith('programs')) await rm(join(directory, name, 'podrate_egress'));
    }
    expect(await remove()).toEqual([]);
    for (const { path } of [pod, byHand]) expect(await scene.attached(path)).toEqual([]);
    expect(await scene.attached(scene.root)).toEqual([]);
    await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
  });
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
