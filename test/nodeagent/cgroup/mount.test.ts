import { expect, test } from 'vitest';
import { cgroupMounts } from '../../../nodeagent/cgroup/mount.ts';

const line = (root: string, path: string, type: string) =>
  `31 23 0:28 ${root} ${path} rw,relatime shared:9 - ${type} cgroup rw`;

test('the one cgroup2 mount of a unified machine is found', () => {
  expect(cgroupMounts(line('/', '/sys/fs/cgroup', 'cgroup2'))).toEqual([{ path: '/sys/fs/cgroup', root: '/' }]);
});

test('a hybrid machine has it beside the mounts of version 1', () => {
  const mountinfo = [
    line('/', '/sys/fs/cgroup', 'tmpfs'),
    line('/', '/sys/fs/cgroup/cpu', 'cgroup'),
    line('/', '/sys/fs/cgroup/unified', 'cgroup2'),
  ].join('\n');
  expect(cgroupMounts(mountinfo).map(({ path }) => path)).toEqual(['/sys/fs/cgroup/unified']);
});

test('in a container the mounted host tree is preferred to the own part', () => {
  const mountinfo = [line('/', '/sys/fs/cgroup', 'cgroup2'), line('/../../..', '/host/cgroup', 'cgroup2')].join('\n');
  expect(cgroupMounts(mountinfo)[0]?.path).toBe('/host/cgroup');
});

test('a mount over another one hides it', () => {
  const mountinfo = [line('/', '/sys/fs/cgroup', 'cgroup2'), line('/../..', '/sys/fs/cgroup', 'cgroup2')].join('\n');
  expect(cgroupMounts(mountinfo)).toEqual([{ path: '/sys/fs/cgroup', root: '/../..' }]);
});

test('a path with a space is read as it is', () => {
  expect(cgroupMounts(line('/', '/mnt/my\\040cgroup', 'cgroup2'))[0]?.path).toBe('/mnt/my cgroup');
});

test('a machine without cgroup v2 has none', () => {
  expect(cgroupMounts(line('/', '/sys/fs/cgroup/cpu', 'cgroup'))).toEqual([]);
  expect(cgroupMounts('')).toEqual([]);
});
