import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

/** How one test level ended. `failed` counts test files that did not even load as well. */
export interface LevelResult {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

/** Runs a checking command that is one test by itself, such as the type check. */
export async function runCheck(
  name: string,
  command: string,
  args: readonly string[],
  quiet: boolean,
): Promise<LevelResult> {
  const started = performance.now();
  const { failed } = await runShown(command, args, quiet);
  return { name, passed: failed ? 0 : 1, failed: failed ? 1 : 0, skipped: 0, seconds: since(started) };
}

/** Runs one vitest project and reads its counts; a run that ends without a report counts as one failure. */
export async function runProject(name: string, quiet: boolean): Promise<LevelResult> {
  const started = performance.now();
  const directory = await mkdtemp(join(tmpdir(), 'podrate-test-'));
  const file = join(directory, 'report.json');
  try {
    const args = ['run', '--project', name, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const { exitCode } = await runShown('vitest', args, quiet);
    const counts = count(JSON.parse(await readFile(file, 'utf8')) as VitestReport);
    // A failing set-up or an unhandled error fails the run without failing a test.
    const failed = Math.max(counts.failed, exitCode === 0 ? 0 : 1);
    return { name, ...counts, failed, seconds: since(started) };
  } catch (error) {
    console.error(`${name}: no test report: ${error instanceof Error ? error.message : error}`);
    return { name, passed: 0, failed: 1, skipped: 0, seconds: since(started) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Shows what a program prints while it prints it, or, when another is shown meanwhile, all at once after it ended. */
async function runShown(command: string, args: readonly string[], quiet: boolean) {
  if (!quiet) return execa(command, args, { stdio: 'inherit', preferLocal: true, reject: false });
  const result = await execa(command, args, { all: true, stdin: 'ignore', preferLocal: true, reject: false });
  console.log(`\n${result.all}`);
  return result;
}

function count(report: VitestReport): { passed: number; failed: number; skipped: number } {
  const unloaded = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
