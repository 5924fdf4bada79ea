import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ExecaError, execa } from 'execa';
import { ClusterError } from './error.ts';

/** Where a build step runs its commands, and who hears about them. */
export interface CommandContext {
  /** The step that the command belongs to, for errors. */
  step: string;
  /** The file that gets everything the command writes; appended to. */
  log: string;
  signal?: AbortSignal | undefined;
}

/** How one command runs. */
export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string | undefined>;
  input?: string;
  /** Sees every line of standard output and standard error, for progress. */
  onLine?: (line: string) => void;
  /** In mount and process namespaces of its own: whatever it mounts or starts ends with it, however it ends. */
  isolated?: boolean;
}

const TAIL_LINES = 15;

/**
 * Runs a command to its end and returns its standard output. All output goes to the step's log.
 * Throws a ClusterError with the tail of the output if the command fails or was cancelled.
 */
export async function runCommand(
  context: CommandContext,
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const command = [file, ...args].join(' ');
  await mkdir(dirname(context.log), { recursive: true });
  const log = createWriteStream(context.log, { flags: 'a' });
  log.write(`$ ${command}\n`);
  const tail: string[] = [];
  const isolated = options.isolated ?? false;
  const keep = function* (line: unknown) {
    const text = String(line);
    tail.push(text);
    if (tail.length > TAIL_LINES) tail.shift();
    log.write(`${text}\n`);
    options.onLine?.(text);
    yield line;
  };
  try {
    const result = await execa('setpriv', [...guard(isolated), file, ...args], {
      // unshare, while it waits for its child, ignores the polite signals.
      killSignal: isolated ? 'SIGKILL' : 'SIGTERM',
      stdin: options.input === undefined ? 'ignore' : 'pipe',
      ...(options.input === undefined ? {} : { input: options.input }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(context.signal === undefined ? {} : { cancelSignal: context.signal, forceKillAfterDelay: 2000 }),
      stdout: keep,
      stderr: keep,
      maxBuffer: 64 * 1024 * 1024,
    });
    return String(result.stdout);
  } catch (error) {
    throw failure(error, context, command, tail);
  } finally {
    log.end();
  }
}

// A command does not outlive this process, even if that is killed (prctl(2), PR_SET_PDEATHSIG).
function guard(isolated: boolean): string[] {
  if (!isolated) return ['--pdeathsig', 'TERM', '--'];
  return ['--pdeathsig', 'KILL', '--', 'unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];
}

function failure(error: unknown, { step, log }: CommandContext, command: string, tail: string[]): ClusterError {
  const details = { step, command: shorten(command), output: tail.join('\n'), log, cause: error };
  if (!(error instanceof ExecaError)) return new ClusterError('cluster/step-failed', String(error), details);
  if (error.isCanceled) return new ClusterError('cluster/cancelled', 'cancelled.', details);
  // As a shell does it, setpriv and unshare tell a missing program by this exit code.
  if (error.exitCode === 127) {
    const tool = command.split(' ', 1)[0];
    return new ClusterError('cluster/missing-tool', `${tool} is not installed: install it and try again.`, details);
  }
  const how = error.signal === undefined ? `exit code ${error.exitCode}` : error.signal;
  return new ClusterError('cluster/step-failed', `the command failed (${how}).`, details);
}

// A command line of a thousand package names would hide the output that matters.
function shorten(command: string): string {
  return command.length > 400 ? `${command.slice(0, 400)} …` : command;
}
