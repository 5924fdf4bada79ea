import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { podOf, uidOf } from '../pods.ts';
import { makeScene, objectFile, type Scene } from '../scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
const oneRun = fileURLToPath(new URL('one-run.ts', import.meta.url));
const pods = [0, 1].map((number) => podOf(uidOf(number)));
const paths = pods.map(({ uid }) => `kubepods/burstable/pod${uid}`);
/** More changes than any of the runs makes. */
const maxChanges = 100;
let scene: Scene;
let newer: string;
beforeEach(async () => {
  scene = await makeScene('killed');
  for (const path of paths) scene.make(path);
  newer = join(tmpdir(), `podrate-newer-${process.pid}.o`);
  await writeFile(newer, Buffer.concat([await readFile(objectFile), Buffer.from('newer')]));
});
afterEach(async () => {
  await scene.end();
  await rm(newer);
});

/** @returns whether it was killed */
async function run(verb: 'pass' | 'uninstall', object: string, fatalChange: number): Promise<boolean> {
  const where = [scene.root, scene.mount, scene.pinDir, object, String(pods.length), String(fatalChange)];
  const { signal, failed, stderr } = await execa(process.execPath, [oneRun, verb, ...where], { reject: false });
  if (failed && signal !== 'SIGKILL') throw new Error(stderr);
  return signal === 'SIGKILL';
}

/** Expects that a new agent repairs the state that a killed one left. */
async function expectRepaired(object = objectFile) {
  const { shaper, reconciler } = scene.restart({ objectFile: object });
  const report = await reconciler.pass(pods, true);
  expect(report.pods.map(({ state }) => state)).toEqual(['in-force', 'in-force']);
  expect(report.failures).toEqual([]);
  for (const path of paths) expect(await scene.attached(join(scene.root, path))).toEqual(ours);
  expect(report.slots).toHaveLength(2);
  for (const { attached } of report.slots) expect([...attached.values()]).toEqual(['current', 'current', 'current']);
  expect(shaper.counters(report.slots)).toHaveLength(2);
  expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
}

/** Expects that an uninstall leaves nothing. */
async function expectUninstalled() {
  expect(await run('uninstall', objectFile, 0)).toBe(false);
  for (const path of ['', ...paths]) expect(await scene.attached(join(scene.root, path))).toEqual([]);
  await expect(readdir(scene.pinDir)).rejects.toThrow('ENOENT');
}

test('an agent killed before any of its changes is repaired by the next one, which can also take everything off', async () => {
  let fatal = 1;
  for (; fatal <= maxChanges && (await run('pass', objectFile, fatal)); fatal += 1) {
    if (fatal % 2 === 0) await expectRepaired();
    await expectUninstalled();
  }
  // Two objects, seven pins of them, the release program, and per pod a claim, three writes, three links and the entry.
  expect(fatal).toBeGreaterThan(30);
  expect(fatal).toBeLessThan(maxChanges);
}, 180_000);

test('an agent killed before any change of an upgrade is repaired by the next one of either version', async () => {
  await expectRepaired();
  let fatal = 1;
  for (; fatal <= maxChanges && (await run('pass', newer, fatal)); fatal += 1) {
    await expectRepaired(fatal % 2 === 0 ? newer : objectFile);
    await expectRepaired(objectFile);
  }
  expect(fatal).toBeGreaterThan(10);
  expect(fatal).toBeLessThan(maxChanges);
}, 180_000);

test('an uninstall killed before any of its changes can be done again', async () => {
  await expectRepaired();
  let fatal = 1;
  for (; fatal <= maxChanges && (await run('uninstall', objectFile, fatal)); fatal += 1) {
    await expectUninstalled();
    await expectRepaired();
  }
  expect(fatal).toBeGreaterThan(5);
  expect(fatal).toBeLessThan(maxChanges);
}, 180_000);

test('an agent killed at any moment, also while it loads the programs, is repaired by the next one', async () => {
  for (let round = 0; round < 8; round += 1) {
    const where = [scene.root, scene.mount, scene.pinDir, objectFile, '2', '0'];
    const agent = execa(process.execPath, [oneRun, 'pass', ...where], { reject: false });
    await wait(100 + round * 20);
    agent.kill('SIGKILL');
    await agent;
    await expectRepaired();
    await expectUninstalled();
  }
}, 180_000);
