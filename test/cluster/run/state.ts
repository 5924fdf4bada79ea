import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRunning, type ProcessIdentity } from '../process/process.ts';

/** What the next start, or `stop` from another shell, must know of a running cluster. */
export interface ClusterState {
  /** Who started it and ends it; a kept cluster outlives its owner. */
  owner: ProcessIdentity;
  kept: boolean;
  /** The network namespace of the cluster. */
  namespace: string;
  /** The directory with everything that belongs to this run. */
  directory: string;
  /** Every process that the cluster consists of, in the order in which they were started. */
  processes: NamedProcess[];
  /** Set when the cluster is up. */
  access?: ClusterAccess;
}

/** A process of the cluster and what it is. */
export interface NamedProcess extends ProcessIdentity {
  name: string;
}

/** What it takes to use a running cluster. */
export interface ClusterAccess {
  kubeconfig: string;
  kubectl: string;
  nodes: NodeAccess[];
}

/** What it takes to run a command in a node. */
export interface NodeAccess {
  name: string;
  address: string;
  tokenFile: string;
  /** Path of the program node-exec-client. */
  client: string;
}

/** The one place of the machine where a running cluster is known: there is one at a time. */
export const STATE_DIRECTORY = '/run/podrate-cluster';

/** The file in which the state is kept. */
export function stateFile(directory: string = STATE_DIRECTORY): string {
  return join(directory, 'state.json');
}

/** Reads the state, or undefined if no cluster was started or it was stopped. */
export async function readState(directory?: string): Promise<ClusterState | undefined> {
  const text = await readFile(stateFile(directory), 'utf8').catch(() => undefined);
  return text === undefined || text === '' ? undefined : JSON.parse(text);
}

/** Writes the first state of a run; fails with EEXIST if there is one, so that of two starts only one goes on. */
export async function claimState(state: ClusterState, directory: string = STATE_DIRECTORY): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(stateFile(directory), JSON.stringify(state), { flag: 'wx', mode: 0o600 });
}

/** Replaces the state as a whole; a reader sees the old one or the new one. */
export async function writeState(state: ClusterState, directory: string = STATE_DIRECTORY): Promise<void> {
  const draft = `${stateFile(directory)}.${process.pid}`;
  await writeFile(draft, JSON.stringify(state, undefined, 2), { mode: 0o600 });
  await rename(draft, stateFile(directory));
}

/** Forgets the cluster. */
export async function removeState(directory?: string): Promise<void> {
  await rm(stateFile(directory), { force: true });
}

/**
 * `busy`: its owner still runs. `kept`: it was meant to outlive its owner and any process of it runs. `stale`: what is left
 * of a run that did not end as it should.
 */
export function judgeState(state: ClusterState): 'busy' | 'kept' | 'stale' {
  if (isRunning(state.owner)) return 'busy';
  return state.kept && state.processes.some(isRunning) ? 'kept' : 'stale';
}
