import { expect, test } from 'vitest';
import { refused } from '../../../nodeagent/libbpf/error.ts';

test('a refused call is named with the kernel’s reason', () => {
  const error = refused('open /sys/fs/bpf/a', 2);
  expect(error).toMatchObject({ code: 'bpf/refused', errno: 'ENOENT', remedy: undefined });
  expect(error.message).toBe('open /sys/fs/bpf/a: no such file or directory (ENOENT)');
});

test('a call that the kernel does not allow comes with the remedy', () => {
  const error = refused('attach to /sys/fs/cgroup/a (egress)', 1);
  expect(error).toMatchObject({ errno: 'EPERM', problem: expect.stringMatching(/operation not permitted \(EPERM\)$/) });
  expect(error.message).toContain('it takes root with the capabilities BPF, NET_ADMIN and PERFMON');
});

test('an error number that nobody knows is told as it is', () => {
  expect(refused('load', 4001).message).toBe('load: unknown error (error 4001)');
});
