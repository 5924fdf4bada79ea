/** Runs iproute2's programs, also in network namespaces. */
import { execa } from 'execa';

/** A program of iproute2 could not be run, or it refused a command. */
export class TcError extends Error {
  override readonly name = 'TcError';
  /** `tc/gone`: the namespace has vanished, as namespaces of pods do. `tc/unsupported`: the kernel lacks something. */
  readonly code: 'tc/missing' | 'tc/gone' | 'tc/refused' | 'tc/unsupported' | 'tc/output';

  constructor(code: TcError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** How to get what neither marks nor queues can be had without. */
export const tcRemedy = 'install iproute2 (Debian, Ubuntu: apt-get install iproute2)';

/** They may take long on a machine that is short of processors; longer than this they hang. */
const timeoutMs = 30_000;

/** A network namespace that begins and ends with the command. */
export const newNamespace = Symbol('new network namespace');

/**
 * Runs `ip` or `tc`.
 * @param namespace file of the network namespace to run it in; undefined: this process's own
 * @param input what it reads on its standard input
 * @returns what it printed
 * @throws TcError
 */
export async function runIproute(
  namespace: string | typeof newNamespace | undefined,
  command: readonly ['ip' | 'tc', ...string[]],
  input = '',
): Promise<string> {
  const [file, ...args] = [...enterCommand(namespace), ...command] as [string, ...string[]];
  const options = { input, timeout: timeoutMs, reject: false, env: { LC_ALL: 'C' } } as const;
  const result = await execa(file, args, options);
  if (!result.failed) return result.stdout;
  // nsenter and unshare tell of a program that is missing, or may not be executed, by their exit status (POSIX, exec).
  if (result.exitCode === 127 || result.exitCode === 126 || result.code === 'ENOENT' || result.code === 'EACCES') {
    throw new TcError('tc/missing', `${command[0]} is not installed: ${tcRemedy}`, { cause: result });
  }
  // What nsenter says of a file that has gone, and of one that is no namespace any more.
  if (
    result.stderr.includes(`cannot open ${String(namespace)}`) ||
    result.stderr.includes('reassociate to namespace')
  ) {
    throw new TcError('tc/gone', `${String(namespace)} has vanished`, { cause: result });
  }
  const reason = result.stderr.trim() || result.shortMessage || 'failed without a word';
  throw new TcError('tc/refused', `${command.join(' ').slice(0, 300)}: ${reason.slice(0, 300)}`, { cause: result });
}

function enterCommand(namespace: string | typeof newNamespace | undefined): string[] {
  if (namespace === undefined) return [];
  return namespace === newNamespace ? ['unshare', '--net'] : ['nsenter', `--net=${namespace}`];
}
