import { expect, test } from 'vitest';
import { isSandbox } from '../../rate/sandbox.ts';

test.each(['gvisor', 'runsc', 'kata', 'kata-qemu', 'kata-mshv-vm-isolation', 'kata-cc-isolation', 'firecracker'])(
  '%s is taken for a sandbox',
  (name) => {
    expect(isSandbox(name)).toBe(true);
  },
);

test.each([undefined, '', 'runc', 'nvidia', 'crun', 'katalog', 'my-gvisor', `kata-${'x'.repeat(1e6)}`])(
  '%j is not',
  (name) => {
    expect(isSandbox(name)).toBe(false);
  },
);
