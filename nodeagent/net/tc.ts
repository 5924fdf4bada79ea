/** Runs tc on queueing disciplines of devices, many commands at once. */
import { runIproute, TcError } from './iproute.ts';

/** The ways to run tc. */
export interface Tc {
  /** Runs commands in order in one process, up to the first that fails. @throws TcError */
  batch(commands: readonly string[]): Promise<void>;
  /** Runs one command. @returns its JSON output @throws TcError */
  show(command: string): Promise<unknown>;
  /** Runs commands in order in one process. @returns the JSON output of each @throws TcError if one fails */
  showAll(commands: readonly string[]): Promise<readonly unknown[]>;
}

/** Builds the runner. @param namespace file of the network namespace to work in; undefined: this process's own */
export function createTc(namespace?: string): Tc {
  const run = (args: readonly string[], input?: string) => runIproute(namespace, ['tc', ...args], input);
  const lines = (commands: readonly string[]) => `${commands.join('\n')}\n`;
  return {
    async batch(commands) {
      if (commands.length > 0) await run(['-batch', '-'], lines(commands));
    },
    async show(command) {
      return JSON.parse((await run(['-json', ...command.split(' ')])) || '[]');
    },
    async showAll(commands) {
      if (commands.length === 0) return [];
      const printed = await run(['-json', '-batch', '-'], lines(commands));
      const documents = printed.split('\n').filter((line) => line.trim() !== '');
      if (documents.length === commands.length) return documents.map((document) => JSON.parse(document));
      throw new TcError('tc/output', `tc printed ${documents.length} lines for ${commands.length} commands`);
    },
  };
}
