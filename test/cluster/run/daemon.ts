import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ClusterError } from '../process/error.ts';
import { identifyProcess, isRunning } from '../process/process.ts';
import { insideNamespace } from './network.ts';
import type { NamedProcess } from './state.ts';

/**
 * Starts a long-running program of the cluster inside its network namespace, in a session of its own (Ctrl-C in the terminal does
 * not reach it; the harness ends it), with its output in `log`. Reports the process through `onStart` before anything can fail.
 */
export async function startDaemon(
  name: string,
  file: string,
  args: readonly string[],
  { log, onStart }: { log: string; onStart: (started: NamedProcess) => Promise<void> },
): Promise<NamedProcess> {
  await mkdir(dirname(log), { recursive: true });
  const output = openSync(log, 'a');
  const child = spawn(...insideNamespace(file, args), { stdio: ['ignore', output, output], detached: true });
  closeSync(output);
  child.unref();
  await once(child, 'spawn');
  const identity = identifyProcess(child.pid ?? -1);
  if (identity === undefined) throw await died(name, log);
  const started = { name, ...identity };
  await onStart(started);
  return started;
}

/** Throws a ClusterError with the end of the log if one of the programs has ended. */
export async function requireRunning(daemons: readonly NamedProcess[], logOf: (name: string) => string): Promise<void> {
  const dead = daemons.find((daemon) => !isRunning(daemon));
  if (dead !== undefined) throw await died(dead.name, logOf(dead.name));
}

async function died(step: string, log: string): Promise<ClusterError> {
  const text = await readFile(log, 'utf8').catch(() => '');
  const output = text.trimEnd().split('\n').slice(-15).join('\n');
  return new ClusterError('cluster/step-failed', 'the program ended by itself.', { step, output, log });
}
