import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ClusterError } from '../process/error.ts';
import { identifyProcess, waitForEnd } from '../process/process.ts';
import { cleanUp } from './cleanup.ts';
import { network } from './network.ts';
import {
  type ClusterAccess,
  type ClusterState,
  claimState,
  judgeState,
  type NamedProcess,
  readState,
  STATE_DIRECTORY,
  writeState,
} from './state.ts';

/** One run of a cluster: its record on disk, from the claim to the clean-up. */
export interface Run {
  readonly state: ClusterState;
  /** Records a process, in place of one of the same name. */
  add(started: NamedProcess): Promise<void>;
  /** Records that the cluster is up. */
  ready(access: ClusterAccess): Promise<void>;
  /** The cluster stays when its owner ends. */
  keep(): Promise<void>;
  /** Ends and removes everything. */
  end(): Promise<void>;
}

/**
 * Claims the machine's one place for a cluster, after cleaning up what a killed run left there.
 * Throws a ClusterError if a cluster is running.
 */
export async function beginRun(): Promise<Run> {
  if (process.getuid?.() !== 0) {
    throw new ClusterError('cluster/not-root', 'a cluster needs root (network namespaces, taps): run this as root.');
  }
  const owner = identifyProcess(process.pid);
  if (owner === undefined) throw new ClusterError('cluster/not-ready', '/proc is not mounted: mount it and try again.');
  await cleanUpStale();
  const directory = join(STATE_DIRECTORY, `run-${owner.pid}-${owner.startTime}`);
  const state: ClusterState = { owner, kept: false, namespace: network.namespace, directory, processes: [] };
  await claimState(state).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? alreadyRunning('busy', owner.pid) : error;
  });
  await mkdir(directory, { mode: 0o700 });
  const release = startReaper(directory);
  return openRun(state, release);
}

function openRun(state: ClusterState, release: () => Promise<void>): Run {
  // One write after the other: programs start side by side.
  let last: Promise<void> = Promise.resolve();
  let ending: Promise<void> | undefined;
  const save = () => {
    last = last.then(() => writeState(state));
    return last;
  };
  return {
    state,
    add(started) {
      state.processes = [...state.processes.filter(({ name }) => name !== started.name), started];
      return save();
    },
    ready(access) {
      state.access = access;
      return save();
    },
    keep() {
      state.kept = true;
      return save();
    },
    end() {
      ending ??= last
        .catch(() => {})
        .then(() => cleanUp(state))
        .then(release);
      return ending;
    },
  };
}

async function cleanUpStale(): Promise<void> {
  const left = await readState();
  if (left === undefined) return;
  const verdict = judgeState(left);
  if (verdict !== 'stale') throw alreadyRunning(verdict, left.owner.pid);
  await cleanUp(left);
}

function alreadyRunning(verdict: 'busy' | 'kept', owner: number): ClusterError {
  const sentence =
    verdict === 'kept'
      ? 'a cluster is up that was meant to stay: end it with `npm run cluster -- stop`, then try again.'
      : `a cluster is running already, started by process ${owner}, and there is one at a time: wait until that ends.`;
  return new ClusterError('cluster/already-running', sentence);
}

// See reaper.ts. Returns what ends it after a clean end.
function startReaper(directory: string): () => Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'reaper.ts'), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    // Not the caller's directory: it may be one that goes away.
    cwd: '/',
  });
  child.unref();
  child.on('error', () => {});
  // The pipe alone must not keep the owner running.
  (child.stdin as unknown as { unref(): void }).unref();
  return async () => {
    child.stdin.destroy();
    const self = child.pid === undefined ? undefined : identifyProcess(child.pid);
    if (self !== undefined) await waitForEnd([self], 5000);
  };
}
