import { expect, test } from 'vitest';
import { CommandError } from '../../cli/errors.ts';
import { asksForJson, exitStatus, formatFailure } from '../../cli/failure.ts';
import { ConfigError } from '../../nodeagent/config.ts';
import { PreflightError } from '../../nodeagent/open-node.ts';

test.each([
  [new CommandError('cli/usage', 'no'), 2, 'cli/usage'],
  [new ConfigError('no'), 2, 'config/invalid'],
  [new CommandError('cli/ambiguous', 'no'), 1, 'cli/ambiguous'],
  [new PreflightError([]), 3, 'preflight/failed'],
  [new TypeError('no'), 1, 'cli/failed'],
])('%s has an exit status and a stable code', (error, status, code) => {
  expect(exitStatus(error)).toBe(status);
  expect(JSON.parse(formatFailure(error, true))).toEqual({ error: { code, message: error.message } });
});

test('people get a sentence', () => {
  expect(formatFailure(new CommandError('cli/usage', 'name a command'), false)).toBe('podrate: name a command');
});

test('a command that is run has options of its own', () => {
  expect(asksForJson(['attach', '--json', '--rate'])).toBe(true);
  expect(asksForJson(['run', '--rate', '1M', '--', 'ip', '--json'])).toBe(false);
});
