import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { identifyProcess, isRunning, signalProcess, waitForEnd } from './process.ts';

test('a process is known by its id and its start time until it ends', async () => {
  const child = spawn('sleep', ['60']);
  const identity = identifyProcess(child.pid ?? 0);
  if (identity === undefined) throw new Error('sleep did not start');
  expect(isRunning(identity)).toBe(true);
  expect(signalProcess(identity, 'SIGKILL')).toBe(true);
  await once(child, 'exit');
  expect(isRunning(identity)).toBe(false);
  expect(await waitForEnd([identity], 0)).toBe(true);
});

test('a later process with the same id is another one, and gets no signal', () => {
  const self = identifyProcess(process.pid);
  if (self === undefined) throw new Error('/proc is not mounted');
  const earlier = { ...self, startTime: self.startTime - 1 };
  expect(isRunning(earlier)).toBe(false);
  expect(signalProcess(earlier, 'SIGKILL')).toBe(false);
});

test('a program whose name looks like fields of its own is read correctly', async () => {
  const child = spawn(process.execPath, ['-e', "process.title = 'a) S 1 (b'; setInterval(() => {}, 1000)"]);
  await once(child, 'spawn');
  const before = identifyProcess(child.pid ?? 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(identifyProcess(child.pid ?? 0)).toEqual(before);
  child.kill('SIGKILL');
  await once(child, 'exit');
});

test('waiting for a process that goes on ends with the time', async () => {
  const self = identifyProcess(process.pid);
  expect(await waitForEnd(self === undefined ? [] : [self], 50)).toBe(false);
});
