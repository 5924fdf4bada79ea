import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { generationOf } from '../../nodeagent/pins.ts';
import { podOf, uidOf } from './pods.ts';
import { makeScene, objectFile, type Scene } from './scene.ts';

const ours = ['egress podrate_egress', 'ingress podrate_ingress', 'sock_ops podrate_sockops'];
const onePass = fileURLToPath(new URL('one-pass.ts', import.meta.url));
const pods = [0, 1, 2].map((number) => podOf(uidOf(number)));
let scene: Scene;
let directory: string;
beforeEach(async () => {
  scene = await makeScene('killed');
  directory = await mkdtemp(join(tmpdir(), 'podrate-killed-'));
  for (const { uid } of pods) scene.make(`kubepods/burstable/pod${uid}`);
});
afterEach(async () => {
  await scene.end();
  await rm(directory, { recursive: true });
});

const argumentsOf = (bpftool: string) => [onePass, scene.root, scene.mount, scene.pinDir, objectFile, bpftool, '3'];

/** What a new agent makes of the state that a killed one left. */
async function expectRepaired() {
  const { shaper, reconciler } = scene.restart();
  const report = await reconciler.pass(pods, true);
  expect(report.pods.map(({ state }) => state)).toEqual(['in-force', 'in-force', 'in-force']);
  expect(report.failures).toEqual([]);
  for (const { uid } of pods)
    expect(await scene.attached(join(scene.root, `kubepods/burstable/pod${uid}`))).toEqual(ours);
  expect(report.slots).toHaveLength(3);
  expect(await shaper.counters(report.slots)).toHaveLength(3);
  expect(await scene.attached(scene.root)).toEqual(['sock_ops podrate_release']);
}

/** Takes all limits off again, and expects that it can be done. */
async function expectFreed() {
  const { reconciler } = scene.restart();
  for (;;) {
    const { againInMs, slots } = await reconciler.pass([], false);
    if (againInMs === undefined) {
      expect(slots).toEqual([]);
      break;
    }
    await wait(againInMs);
  }
  for (const { uid } of pods)
    expect(await scene.attached(join(scene.root, `kubepods/burstable/pod${uid}`))).toEqual([]);
}

test('an agent killed after any command of its batch is repaired by the next one, which can also take everything off', async () => {
  // A bpftool that does the first commands of the batch that attaches, and then kills the agent that started it.
  const bpftool = join(directory, 'bpftool');
  const script = (commands: number) => `#!/bin/bash
case "$*" in
  *batch*)
    input=$(cat)
    if [[ $input == *"cgroup attach"* ]]; then
      head -n ${commands} <<< "$input" | bpftool "$@"
      kill -KILL $PPID
      exit 1
    fi
    exec bpftool "$@" <<< "$input" ;;
esac
exec bpftool "$@"
`;
  // Eight commands attach a pod: claim, clear state, clear counters, limit, three programs, mark. The ninth claims for the next.
  for (let commands = 1; commands <= 9; commands += 1) {
    await writeFile(bpftool, script(commands));
    await chmod(bpftool, 0o755);
    const { signal } = await execa(process.execPath, argumentsOf(bpftool), { reject: false });
    expect(signal).toBe('SIGKILL');
    await expectRepaired();
    await expectFreed();
  }
});

test('an agent killed at any moment, also while it loads the programs, is repaired by the next one', async () => {
  for (let round = 0; round < 12; round += 1) {
    const agent = execa(process.execPath, argumentsOf('bpftool'), { reject: false });
    await wait(150 + round * 20);
    agent.kill('SIGKILL');
    await agent;
    await expectRepaired();
    const pinned = await readdir(scene.pinDir);
    expect(pinned.filter((name) => !name.startsWith('loading_'))).toEqual([await generationOf(objectFile)]);
    await expectFreed();
    await scene.shaper.remove();
  }
});
