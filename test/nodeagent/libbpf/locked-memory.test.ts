import { expect, test, vi } from 'vitest';
import { lockedMemoryBound, unboundLockedMemory } from '../../../nodeagent/libbpf/locked-memory.ts';

test.each([
  ['5.10.0-36-amd64', 1],
  ['5.11.0', 0],
  ['6.1.0-40-amd64', 0],
])('on Linux %s the bound of locked memory is lifted %d times', (release, times) => {
  const raise = vi.fn();
  unboundLockedMemory(release, raise);
  expect(raise).toHaveBeenCalledTimes(times);
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
