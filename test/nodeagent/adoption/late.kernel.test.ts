import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mayHaveConnections } from '../../../nodeagent/adoption/late.ts';
import { joinCgroup } from '../../lab/cgroups.ts';
import { makeScene, type Scene } from '../scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene('late');
});
afterEach(() => scene.end());

async function processIn(path: string): Promise<void> {
  const { path: directory } = scene.make(path);
  await joinCgroup(directory, spawn('sleep', ['60'], { stdio: 'ignore' }).pid ?? 0);
}
const ask = (laterMs = 0) => mayHaveConnections(join(scene.root, 'pod'), Date.now() + laterMs);

test('a pod whose containers have not begun has no connections, a young sandbox or not', async () => {
  scene.make('pod/container');
  expect(await ask()).toBe(false);
  await processIn('pod/sandbox');
  expect(await ask()).toBe(false);
});

test('a pod that has run for some seconds, or has a second container, may have some', async () => {
  await processIn('pod/sandbox');
  expect(await ask(10_000)).toBe(true);
  await processIn('pod/container');
  expect(await ask()).toBe(true);
});

test('processes in the cgroup itself may have some, a cgroup that is gone has none', async () => {
  expect(await ask()).toBe(false);
  await processIn('pod');
  expect(await ask()).toBe(true);
});
