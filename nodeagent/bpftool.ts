/** Runs bpftool. Everything that this project asks of the kernel about BPF goes through here. */
import { execa, type Result } from 'execa';

/** Why bpftool did not do what it was asked; a stable name, for programs. */
export type BpftoolErrorCode = 'bpftool/missing' | 'bpftool/timeout' | 'bpftool/refused' | 'bpftool/output';

/** bpftool could not be run, or it refused a command. */
export class BpftoolError extends Error {
  override readonly name = 'BpftoolError';
  readonly code: BpftoolErrorCode;
  /** The command that failed, as words after `bpftool`. */
  readonly command: readonly string[];
  /** What is wrong, without what to do about it. */
  readonly problem: string;
  /** What to do about it, where that is known. */
  readonly remedy: string | undefined;

  constructor(
    code: BpftoolErrorCode,
    command: readonly string[],
    message: string,
    options: ErrorOptions & { readonly problem?: string; readonly remedy?: string } = {},
  ) {
    super(message, options);
    this.code = code;
    this.command = command;
    this.problem = options.problem ?? message;
    this.remedy = options.remedy;
  }
}

/** One bpftool command, as words. */
export type Command = readonly string[];

/** What became of a batch: the JSON output of each command that was done, and the command that ended the batch early, if any. */
export interface BatchResult {
  readonly outputs: readonly unknown[];
  readonly error?: BpftoolError;
}

/** The two ways to run bpftool. */
export interface Bpftool {
  /** Runs one command. @returns its JSON output; null if it printed none. @throws BpftoolError */
  run(command: Command): Promise<unknown>;
  /** Runs commands in order in one process, up to the first that fails. @throws BpftoolError if bpftool itself cannot be run */
  batch(commands: readonly Command[]): Promise<BatchResult>;
}

/** Where bpftool is and how long a run may take. */
export interface BpftoolOptions {
  /** A path, or a name to look for in PATH. */
  readonly file: string;
  readonly timeoutMs: number;
}

/** Builds the runner. */
export function createBpftool({ file, timeoutMs }: BpftoolOptions): Bpftool {
  // --nomount: bpftool would mount a file system of its own over the pin directory when it finds none, and hide the mistake.
  const start = async (args: readonly string[], command: Command, input = '') => {
    const result = await execa(file, ['--json', '--nomount', ...args], {
      input,
      timeout: timeoutMs,
      reject: false,
      maxBuffer: 64 * 1024 * 1024,
      env: { LC_ALL: 'C' },
    });
    if (!result.failed) return { stdout: result.stdout, failed: false, stderr: result.stderr };
    if (result.timedOut) {
      throw new BpftoolError('bpftool/timeout', command, `${file} did not end within ${timeoutMs} ms: it was ended`, {
        cause: result,
      });
    }
    if (result.exitCode === undefined) throw notRunnable(file, command, result);
    return { stdout: result.stdout, failed: true, stderr: result.stderr };
  };

  return {
    async run(command) {
      const { stdout, failed, stderr } = await start(command, command);
      const output = parse(stdout, command);
      const refusal = errorOf(output);
      if (failed || refusal !== undefined) throw refused(command, refusal ?? stderr);
      return output;
    },

    async batch(commands) {
      if (commands.length === 0) return { outputs: [] };
      const input = `${commands.map((command) => command.map(quote).join(' ')).join('\n')}\n`;
      const { stdout, stderr } = await start(['batch', 'file', '-'], ['batch'], input);
      const entries = parse(stdout, ['batch']);
      if (!Array.isArray(entries)) throw refused(['batch'], errorOf(entries) ?? stderr);
      // The exit status means nothing here: after the last line bpftool 7 takes whatever errno a command left for a failure to
      // read the batch, reports it without a command, and exits with 255.
      const outputs = entries
        .filter((entry: { command?: unknown }) => entry.command !== undefined)
        .map((entry: { output?: unknown }) => entry.output ?? null);
      const last = errorOf(outputs.at(-1));
      if (last === undefined && outputs.length === commands.length) return { outputs };
      const done = last === undefined ? outputs : outputs.slice(0, -1);
      return { outputs: done, error: refused(commands[done.length] ?? ['batch'], last ?? stderr) };
    },
  };
}

function notRunnable(
  file: string,
  command: Command,
  cause: Pick<Result, 'code' | 'signal' | 'shortMessage'>,
): BpftoolError {
  const [problem, remedy] =
    cause.code === 'ENOENT'
      ? [`${file} is not installed`, 'install it (Debian, Ubuntu: apt-get install bpftool), or name it with --bpftool']
      : [
          `${file} cannot be run (${cause.code ?? cause.signal ?? cause.shortMessage})`,
          'check the file that --bpftool names',
        ];
  return new BpftoolError('bpftool/missing', command, `${problem}: ${remedy}`, { cause, problem, remedy });
}

function refused(command: Command, reason: string): BpftoolError {
  const shown = command.join(' ');
  const text = shown.length > 300 ? `${shown.slice(0, 300)}…` : shown;
  return new BpftoolError('bpftool/refused', command, `bpftool ${text}: ${reason.trim() || 'failed without a word'}`);
}

function errorOf(output: unknown): string | undefined {
  if (typeof output !== 'object' || output === null || !('error' in output)) return undefined;
  return String(output.error);
}

function parse(stdout: string, command: Command): unknown {
  if (stdout.trim() === '') return null;
  try {
    // A command without anything to show, such as `cgroup show`, prints nothing at all where JSON needs a value.
    return JSON.parse(stdout.replaceAll('"output":}', '"output":null}'));
  } catch (error) {
    throw new BpftoolError('bpftool/output', command, `bpftool printed what is not JSON: ${stdout.slice(0, 200)}`, {
      cause: error,
    });
  }
}

// A batch splits its lines at white space, knows quotes but no escapes, and takes # for a comment even inside of quotes.
function quote(word: string): string {
  if (/^[^\s'"#\\]+$/.test(word)) return word;
  if (/["#\\\n\r]/.test(word) || word === '') {
    throw new BpftoolError(
      'bpftool/refused',
      [word],
      `bpftool cannot be given the name ${JSON.stringify(word)} in a batch`,
    );
  }
  return `"${word}"`;
}

/** The words that give bpftool a map key or value in bytes. */
export function hex(bytes: Uint8Array): string[] {
  return ['hex', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))];
}

/** Reads bytes as bpftool prints them, such as `["0x01","0xff"]`. @throws BpftoolError if they are not */
export function bytesOf(printed: unknown): Uint8Array {
  if (Array.isArray(printed) && printed.every((byte) => typeof byte === 'string' && /^0x[0-9a-f]{2}$/.test(byte))) {
    return Uint8Array.from(printed, Number);
  }
  throw new BpftoolError('bpftool/output', [], `bpftool printed no bytes: ${JSON.stringify(printed)?.slice(0, 200)}`);
}
