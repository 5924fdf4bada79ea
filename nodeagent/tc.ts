/** Runs tc. Everything that this project asks of the kernel about queueing disciplines of devices goes through here. */
import { execa } from 'execa';

/** tc could not be run, or the kernel refused a command. */
export class TcError extends Error {
  override readonly name = 'TcError';
  readonly code: 'tc/missing' | 'tc/failed';

  constructor(code: TcError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The ways to run tc. */
export interface Tc {
  /** Runs commands in order in one process, up to the first that fails. @throws TcError */
  batch(commands: readonly string[]): Promise<void>;
  /** Runs one command. @returns its JSON output @throws TcError */
  show(command: string): Promise<unknown>;
  /** Runs commands whose output is not JSON, such as `class show` of HTB. @throws TcError */
  print(commands: readonly string[]): Promise<string>;
}

/** tc may take long on a machine that is short of processors; longer than this it hangs. */
const timeoutMs = 30_000;

/** Builds the runner. @param namespace file of the network namespace to work in; undefined: this process's own */
export function createTc(namespace?: string): Tc {
  const run = async (args: readonly string[], input = '') => {
    const words = namespace === undefined ? ['tc', ...args] : ['nsenter', `--net=${namespace}`, 'tc', ...args];
    const [file = '', ...rest] = words;
    const result = await execa(file, rest, { input, timeout: timeoutMs, reject: false, env: { LC_ALL: 'C' } });
    if (!result.failed) return result.stdout;
    if (result.code === 'ENOENT') {
      throw new TcError('tc/missing', 'tc is not installed: apt-get install iproute2', { cause: result });
    }
    const reason = result.stderr.trim() || result.shortMessage;
    throw new TcError('tc/failed', `tc ${args.join(' ')}: ${reason}`, { cause: result });
  };
  const lines = (commands: readonly string[]) => `${commands.join('\n')}\n`;
  return {
    async batch(commands) {
      if (commands.length > 0) await run(['-batch', '-'], lines(commands));
    },
    async show(command) {
      return JSON.parse((await run(['-json', ...command.split(' ')])) || '[]');
    },
    async print(commands) {
      return commands.length > 0 ? run(['-batch', '-'], lines(commands)) : '';
    },
  };
}
