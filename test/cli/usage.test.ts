import { expect, test } from 'vitest';
import { podrate } from './podrate.ts';

test('--help prints the usage text with the exit status of each outcome', async () => {
  const { status, out } = await podrate(['--help']);
  expect(status).toBe(0);
  expect(out).toContain('Usage: podrate <command> [options]');
  expect(out).toContain('Exit status: 0 done, 1 failed, 2 wrong usage, 3 this machine lacks something');
});

test.each([
  [[], 'name a command: see podrate --help'],
  [['limit'], 'there is no command limit: see podrate --help'],
  [['list', 'all'], 'unexpected argument all: see podrate --help'],
  [['list', '--fast'], "Unknown option '--fast'"],
])('%j is wrong usage', async (args, message) => {
  const { status, out, err } = await podrate(args);
  expect([status, out]).toEqual([2, '']);
  expect(err).toContain(`podrate: ${message}`);
});
