import { execa } from 'execa';

/** What a run of the command line tool gave. */
export interface Run {
  readonly status: number | undefined;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line tool as a process. @param wrapper a command to run it with, such as setpriv and its options */
export async function podrate(args: readonly string[], wrapper: readonly string[] = []): Promise<Run> {
  const [file = '', ...rest] = [...wrapper, process.execPath, 'cli/main.ts', ...args];
  const result = await execa(file, rest, { cwd: new URL('../..', import.meta.url), reject: false });
  return { status: result.exitCode, out: result.stdout, err: result.stderr };
}
