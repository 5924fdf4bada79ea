import { expect, test } from 'vitest';
import { isPodTree, isQualityClass, podUidOf } from '../../../nodeagent/cgroup/names.ts';

const uid = '0f3c1b62-9d1e-4b8a-8a55-0123456789ab';
const systemd = uid.replaceAll('-', '_');

test.each([
  ['cgroupfs driver', `pod${uid}`],
  ['systemd driver, guaranteed', `kubepods-pod${systemd}.slice`],
  ['systemd driver, burstable', `kubepods-burstable-pod${systemd}.slice`],
  ['systemd driver, besteffort', `kubepods-besteffort-pod${systemd}.slice`],
  ['kind', `kubelet-kubepods-burstable-pod${systemd}.slice`],
  ['systemd driver with a cgroup root', `foo-kubepods-pod${systemd}.slice`],
])('the uid is found in a pod directory of the %s', (_, name) => {
  expect(podUidOf(name)).toBe(uid);
});

test('the hash of a static pod is found', () => {
  const hash = '0123456789abcdef0123456789abcdef';
  expect(podUidOf(`pod${hash}`)).toBe(hash);
  expect(podUidOf(`kubepods-burstable-pod${hash}.slice`)).toBe(hash);
});

test.each([
  'burstable',
  'kubepods-burstable.slice',
  'pod',
  'podinfo',
  `pod${uid}x`,
  `${uid}`,
  'cri-containerd-abc.scope',
])('%s is no pod directory', (name) => {
  expect(podUidOf(name)).toBeUndefined();
});

test.each(['kubepods', 'kubepods.slice', 'kubelet-kubepods.slice', 'foo-kubepods.slice'])('%s holds pods', (name) => {
  expect(isPodTree(name)).toBe(true);
});

test.each(['kubepods-burstable.slice', 'kubelet.slice', 'mykubepods', 'kubepods.scope'])(
  '%s is no tree of pods',
  (name) => {
    expect(isPodTree(name)).toBe(false);
  },
);

test.each(['burstable', 'besteffort', 'kubepods-burstable.slice', 'kubelet-kubepods-besteffort.slice'])(
  '%s is the directory of a quality of service class',
  (name) => {
    expect(isQualityClass(name)).toBe(true);
  },
);

test('a pod directory is not taken for a quality of service class', () => {
  expect(isQualityClass(`kubepods-burstable-pod${systemd}.slice`)).toBe(false);
});
