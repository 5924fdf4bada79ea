/** Runs tc on queueing disciplines of devices, many commands at once. */
import { runIproute } from './iproute.ts';

/** The ways to run tc. */
export interface Tc {
  /** Runs commands in order in one process, up to the first that fails. @throws TcError */
  batch(commands: readonly string[]): Promise<void>;
  /** Runs one command. @returns its JSON output @throws TcError */
  show(command: string): Promise<unknown>;
  /** Runs commands whose output is not JSON, such as `class show` of HTB. @throws TcError */
  print(commands: readonly string[]): Promise<string>;
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
    async print(commands) {
      return commands.length > 0 ? run(['-batch', '-'], lines(commands)) : '';
    },
  };
}
