import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { execa } from 'execa';

/** How one test level ended. `failed` counts test files that did not even load as well. */
export interface LevelResult {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  /** What failed, with its reason. */
  readonly failures: readonly Failure[];
}

/** A test, or a file that did not load, and why it failed. */
interface Failure {
  readonly title: string;
  readonly reason: string;
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
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
  const failures = failed ? [{ title: name, reason: 'what it printed is above' }] : [];
  return { name, passed: failed ? 0 : 1, failed: failures.length, skipped: 0, seconds: since(started), failures };
}

/** Runs one vitest project and reads its counts and failures; a run that ends without a report counts as one failure. */
export async function runProject(name: string, quiet: boolean): Promise<LevelResult> {
  const started = performance.now();
  const directory = await mkdtemp(join(tmpdir(), 'podrate-test-'));
  const file = join(directory, 'report.json');
  try {
    const args = ['run', '--project', name, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const { exitCode } = await runShown('vitest', args, quiet);
    const report = JSON.parse(await readFile(file, 'utf8')) as VitestReport;
    const failures = failuresOf(report);
    if (exitCode !== 0 && failures.length === 0) {
      failures.push({ title: name, reason: 'a failed set-up or an unhandled error; it is above' });
    }
    const skipped = report.numPendingTests + report.numTodoTests;
    const counts = { passed: report.numPassedTests, failed: failures.length, skipped };
    return { name, ...counts, seconds: since(started), failures };
  } catch (error) {
    const reason = `no test report: ${error instanceof Error ? error.message : error}`;
    return { name, passed: 0, failed: 1, skipped: 0, seconds: since(started), failures: [{ title: name, reason }] };
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

function failuresOf(report: VitestReport): Failure[] {
  return report.testResults.flatMap((file) => {
    const path = relative(process.cwd(), file.name);
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    // It did not load, or was not set up.
    if (file.status === 'failed' && failed.length === 0) return [{ title: path, reason: file.message }];
    return failed.map((test) => ({
      title: `${path} > ${test.fullName}`,
      reason: test.failureMessages.join('\n'),
    }));
  });
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
