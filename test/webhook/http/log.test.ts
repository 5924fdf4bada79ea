import process from 'node:process';
import { execa } from 'execa';
import { expect, test, vi } from 'vitest';

vi.setConfig({ testTimeout: 60_000 });

test.each(['exit', 'throw', 'kill'])('the last lines are written when the process ends by %s', async (way) => {
  const program = [process.execPath, ['test/webhook/http/log-program.ts', way]] as const;
  const { failed, stdout } = await execa(...program, { reject: false, lines: true });
  expect(failed).toBe(true);
  expect(stdout.map((line) => JSON.parse(line).number)).toEqual([1, 2, 3]);
});
