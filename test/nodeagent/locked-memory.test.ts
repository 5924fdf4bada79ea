import { expect, test } from 'vitest';
import { unboundLockedMemory } from '../../nodeagent/locked-memory.ts';

test.each([
  ['5.10.0-36-amd64', 1],
  ['5.11.0', 0],
  ['6.1.0-40-amd64', 0],
])('on Linux %s the bound of locked memory is lifted %d times', async (release, times) => {
  const commands: string[] = [];
  await unboundLockedMemory(release, async (file, args) => commands.push([file, ...args].join(' ')));
  expect(commands).toEqual(Array(times).fill(`prlimit --pid ${process.pid} --memlock=unlimited:unlimited`));
});
