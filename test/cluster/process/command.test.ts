import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CommandContext, runCommand } from './command.ts';
import { ClusterError } from './error.ts';

let context: CommandContext;

beforeEach(async () => {
  context = { step: 'kubernetes', log: join(await mkdtemp(join(tmpdir(), 'podrate-command-')), 'log') };
});

afterEach(() => rm(join(context.log, '..'), { recursive: true }));

const failure = (promise: Promise<unknown>): Promise<ClusterError> =>
  promise.then(
    () => expect.unreachable('the command should have failed'),
    (error) => error,
  );

test('a command gives its output, line by line and as a whole', async () => {
  const lines: string[] = [];
  const output = await runCommand(context, 'sh', ['-c', 'echo one; echo two'], { onLine: (line) => lines.push(line) });
  expect(output).toBe('one\ntwo');
  expect(lines).toEqual(['one', 'two']);
});

test('a command that fails is told with its step, what it said last, and where the rest is', async () => {
  const error = await failure(runCommand(context, 'sh', ['-c', 'seq 100; echo no disk space >&2; exit 3']));
  expect(error).toBeInstanceOf(ClusterError);
  expect(error.code).toBe('cluster/step-failed');
  expect(error.step).toBe('kubernetes');
  expect(error.output).toContain('no disk space');
  expect(error.message).toContain('exit code 3');
  expect(error.message).toContain(context.log);
  expect(await readFile(context.log, 'utf8')).toContain('\n1\n2\n3\n');
});

test('a program that is not there is named', async () => {
  const error = await failure(runCommand(context, 'no-such-program', []));
  expect(error.code).toBe('cluster/missing-tool');
  expect(error.message).toContain('no-such-program is not installed');
});

test('a cancelled command ends at once and says so', async () => {
  const error = await failure(runCommand({ ...context, signal: AbortSignal.timeout(200) }, 'sleep', ['60']));
  expect(error.code).toBe('cluster/cancelled');
});
