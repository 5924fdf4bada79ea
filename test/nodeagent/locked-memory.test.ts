import { expect, test } from 'vitest';
import { lockedMemoryBound, unboundLockedMemory } from '../../nodeagent/locked-memory.ts';

test.each([
  ['5.10.0-36-amd64', 1],
  ['5.11.0', 0],
  ['6.1.0-40-amd64', 0],
])('on Linux %s the bound of locked memory is lifted %d times', async (release, times) => {
  const commands: string[] = [];
  await unboundLockedMemory(release, async (file, args) => commands.push([file, ...args].join(' ')));
  expect(commands).toEqual(Array(times).fill(`prlimit --pid ${process.pid} --memlock=unlimited:unlimited`));
});

const limits = (soft: string) => `Limit                     Soft Limit           Hard Limit           Units
Max processes             96262                96262                processes
Max locked memory         ${soft.padEnd(20)} unlimited            bytes
`;

test.each([
  ['5.10.0-36-amd64', '65536', 65_536],
  ['5.10.0-36-amd64', 'unlimited', undefined],
  ['5.11.0', '65536', undefined],
])('on Linux %s with a limit of %s bytes, BPF maps are bounded to %s bytes', async (release, soft, bound) => {
  expect(await lockedMemoryBound(release, async () => limits(soft))).toBe(bound);
});
