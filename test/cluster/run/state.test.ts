import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identifyProcess, type ProcessIdentity } from '../process/process.ts';
import { type ClusterState, claimState, judgeState, readState, removeState, writeState } from './state.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'podrate-state-'));
});

afterEach(() => rm(directory, { recursive: true }));

function self(): ProcessIdentity {
  const identity = identifyProcess(process.pid);
  if (identity === undefined) throw new Error('/proc is not mounted');
  return identity;
}

async function deadProcess(): Promise<ProcessIdentity> {
  const child = spawn('sleep', ['60']);
  const identity = identifyProcess(child.pid ?? 0);
  child.kill('SIGKILL');
  await once(child, 'exit');
  if (identity === undefined) throw new Error('sleep did not start');
  return identity;
}

function stateOf(owner: ProcessIdentity, change: Partial<ClusterState> = {}): ClusterState {
  return { owner, kept: false, namespace: 'test', directory: '/nowhere', processes: [], ...change };
}

test('without a cluster there is no state', async () => {
  expect(await readState(directory)).toBeUndefined();
});

test('what is written is read, and forgotten when it is removed', async () => {
  await claimState(stateOf(self()), directory);
  const later = stateOf(self(), { processes: [{ name: 'etcd', ...self() }] });
  await writeState(later, directory);
  expect(await readState(directory)).toEqual(later);
  expect(await readdir(directory)).toEqual(['state.json']);
  await removeState(directory);
  expect(await readState(directory)).toBeUndefined();
});

test('of two that claim the place one fails', async () => {
  const claims = await Promise.allSettled([1, 2].map(() => claimState(stateOf(self()), directory)));
  expect(claims.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('a cluster whose owner runs is busy, also before it has any process', () => {
  expect(judgeState(stateOf(self()))).toBe('busy');
});

test('a cluster whose owner has died is stale, also if its programs still run', async () => {
  const processes = [{ name: 'etcd', ...self() }];
  expect(judgeState(stateOf(await deadProcess(), { processes }))).toBe('stale');
});

test('a kept cluster outlives its owner as long as any of its programs runs', async () => {
  const dead = await deadProcess();
  const kept = stateOf(dead, { kept: true, processes: [{ name: 'etcd', ...self() }] });
  expect(judgeState(kept)).toBe('kept');
  expect(judgeState({ ...kept, processes: [{ name: 'etcd', ...dead }] })).toBe('stale');
});
