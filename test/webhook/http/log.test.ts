import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';

vi.setConfig({ testTimeout: 60_000 });

const start = (way: string) => spawn(process.execPath, ['test/webhook/http/log-program.ts', way], { stdio: 'pipe' });
const exitCode = async (child: ReturnType<typeof start>) => child.exitCode ?? (await once(child, 'exit'))[0];
const numbers = (output: string) => Array.from(output.matchAll(/"number":(\d)/g), ([, number]) => Number(number));

test.each(['exit', 'throw'])('the last lines are written when the process ends by %s', async (way) => {
  const child = start(way);
  const [output] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(await exitCode(child)).toBe(1);
  expect(numbers(output)).toEqual([1, 2, 3]);
});

test('a few lines are written while the process goes on', async () => {
  const child = start('stay');
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  await vi.waitFor(() => expect(numbers(output)).toEqual([1, 2, 3]), { timeout: 30_000 });
  expect(child.exitCode).toBe(null);
  child.stdin.end();
  expect(await exitCode(child)).toBe(0);
});

test('where nobody takes the lines, those that are too many are lost and counted, and memory stays bounded', async () => {
  const child = start('flood');
  const [told] = await once(child.stderr, 'data');
  // 100 MB were logged.
  const { lost, grownMegabytes } = JSON.parse(String(told));
  expect(lost).toBeGreaterThan(90_000);
  expect(grownMegabytes).toBeLessThan(50);
  const reading = text(child.stdout);
  await sleep(1_000);
  child.stdin.end('go on');
  const output = await reading;
  expect(await exitCode(child)).toBe(0);
  const lines = output.trimEnd().split('\n');
  expect(lines.filter((line) => line.includes('"flood"'))).toHaveLength(100_000 - lost);
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ msg: 'later' });
});
