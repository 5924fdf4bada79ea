import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What a benchmark's command is made of. */
export interface Command<Options extends { readonly help: boolean }> {
  readonly help: string;
  /** @throws for what cannot be followed */
  readonly parse: (args: string[]) => Options;
  /** Does the work and gives the exit status; an error that it throws is told and makes it 1. */
  readonly run: (options: Options, signal: AbortSignal) => Promise<number>;
}

/** Runs a command with this process's arguments. @returns its exit status; 2 for a wrong call, 130 when it was interrupted */
export async function runCommand<Options extends { readonly help: boolean }>(
  command: Command<Options>,
): Promise<number> {
  const { help, parse, run } = command;
  let options: Options;
  try {
    options = parse(process.argv.slice(2));
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${help}`);
    return 2;
  }
  if (options.help) {
    console.log(help);
    return 0;
  }
  const interrupt = new AbortController();
  // Not `once`: execa ends the process when it finds no other listener while one of its programs runs.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupt.abort(name));
  try {
    return await run(options, interrupt.signal);
  } catch (error) {
    if (interrupt.signal.aborted) return 130;
    console.error(messageOf(error));
    return 1;
  }
}

/** Writes a file, with the directories that it needs, and says so. */
export async function writeResult(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  console.log(`written: ${file}`);
}

function messageOf(error: unknown): unknown {
  return error instanceof Error ? error.message : error;
}
