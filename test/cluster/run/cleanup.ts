import { rm } from 'node:fs/promises';
import { execa } from 'execa';
import { isRunning, signalProcess, waitForEnd } from '../process/process.ts';
import { type ClusterState, readState, removeState } from './state.ts';

/**
 * Ends every process of the cluster, removes its network namespace and its directory, and forgets it. Safe to call again,
 * and on what a killed run left behind: processes are known by id and start time, never by name.
 */
export async function cleanUp(state: ClusterState): Promise<void> {
  // All at once and without asking: nothing of the cluster is needed again, and an API server that is asked to end waits for
  // its clients. Also what somebody started inside the namespace ends.
  for (const member of state.processes) signalProcess(member, 'SIGKILL');
  await waitForEnd(state.processes, 10_000);
  await rm(state.directory, { recursive: true, force: true });
  // The network has the same name in every run: it may be another's by now.
  if ((await readState())?.directory !== state.directory) return;
  await endNamespace(state.namespace);
  await removeState();
}

async function endNamespace(namespace: string): Promise<void> {
  const { stdout, exitCode } = await execa('ip', ['netns', 'pids', namespace], { reject: false });
  if (exitCode === 0) {
    for (const pid of stdout.split('\n').map(Number)) {
      if (pid > 0 && pid !== process.pid) kill(pid);
    }
  }
  await execa('ip', ['netns', 'delete', namespace], { reject: false });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/** The processes of a cluster that still run. */
export function runningProcesses(state: ClusterState): string[] {
  return state.processes.filter(isRunning).map(({ name }) => name);
}
