import { expect, test } from 'vitest';
import { lockedMemoryOf } from '../../../nodeagent/preflight/facts.ts';

const limits = (soft: string) => `Limit                     Soft Limit           Hard Limit           Units
Max processes             96262                96262                processes
Max locked memory         ${soft.padEnd(20)} unlimited            bytes
`;

test.each([
  ['5.10.0-36-amd64', '65536', 65_536],
  ['5.10.0-36-amd64', 'unlimited', undefined],
  ['5.11.0', '65536', undefined],
])('on Linux %s with a limit of %s bytes, BPF maps are bounded to %s bytes', (release, soft, bound) => {
  expect(lockedMemoryOf(release, limits(soft))).toBe(bound);
});
