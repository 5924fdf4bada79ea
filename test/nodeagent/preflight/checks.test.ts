import { expect, test } from 'vitest';
import { queueRemedy } from '../../../nodeagent/ingress-queue/support.ts';
import { preflight } from '../../../nodeagent/preflight/checks.ts';
import type { Facts } from '../../../nodeagent/preflight/facts.ts';

const good: Facts = {
  uid: 0,
  missingCapabilities: [],
  canEnterNamespaces: true,
  bpfRefusal: undefined,
  release: '6.1.0-40-cloud-amd64',
  lockedMemoryBound: undefined,
  cgroupMount: '/sys/fs/cgroup',
  cgroupRoot: '/sys/fs/cgroup',
  cgroupRootIsCgroup2: true,
  netControllers: [],
  podsOnV1: undefined,
  pinDirectory: '/sys/fs/bpf/podrate',
  pinsOnBpffs: true,
  pinRefusal: undefined,
  confinement: undefined,
  libbpf: '1.1',
  objectFile: '/app/bpf/shaper.bpf.o',
  digest: '0123456789ab',
  load: {},
};
const failed = (facts: Partial<Facts>) => preflight({ ...good, ...facts }).filter(({ result }) => result !== 'ok');

test('a machine that has everything passes every check', () => {
  const checks = preflight(good);
  expect(checks.map(({ result }) => result)).toEqual(Array.from({ length: 11 }, () => 'ok'));
  expect(checks.every(({ remedy }) => remedy === undefined)).toBe(true);
});

test.each<[string, Partial<Facts>, string, string, string]>([
  ['not root', { uid: 1000 }, 'privileges', 'user 1000 is not root', 'run it as root'],
  [
    'no capability',
    { missingCapabilities: ['CAP_BPF', 'CAP_PERFMON'] },
    'privileges',
    'root without CAP_BPF, CAP_PERFMON',
    'BPF, NET_ADMIN and PERFMON',
  ],
  [
    'a bound of locked memory',
    { lockedMemoryBound: 65_536, release: '5.10.0-36' },
    'locked-memory',
    '65536 bytes of memory can be locked, and BPF maps count as locked on Linux 5.10.0-36',
    'LimitMEMLOCK=infinity',
  ],
  [
    'no cgroup2',
    { cgroupMount: undefined, cgroupRoot: undefined },
    'cgroup2',
    'no cgroup v2 mount',
    'mount -t cgroup2',
  ],
  ['a wrong root', { cgroupRootIsCgroup2: false, cgroupRoot: '/tmp' }, 'cgroup-root', '/tmp is not', '--cgroup-root'],
  ['no bpffs', { pinsOnBpffs: false }, 'bpffs', 'is not in a BPF file system', 'mount -t bpf bpf /sys/fs/bpf'],
  [
    'AppArmor in the way',
    { pinRefusal: 'EACCES', confinement: { module: 'AppArmor', label: 'cri-containerd.apparmor.d' } },
    'bpffs',
    '/sys/fs/bpf/podrate cannot be written (EACCES): AppArmor forbids it, by the profile cri-containerd.apparmor.d',
    'set appArmorProfile.type to Unconfined',
  ],
  [
    'SELinux in the way',
    { pinRefusal: 'EACCES', confinement: { module: 'SELinux', label: 'container_t' } },
    'bpffs',
    '/sys/fs/bpf/podrate cannot be written (EACCES): SELinux forbids it, by the type container_t',
    'set seLinuxOptions.type to spc_t',
  ],
  [
    'a read-only bpffs, which is no matter of a security module',
    { pinRefusal: 'EROFS', confinement: { module: 'AppArmor', label: 'docker-default' } },
    'bpffs',
    '/sys/fs/bpf/podrate cannot be written (EROFS)',
    'mount -o remount,rw /sys/fs/bpf',
  ],
  [
    'a bpffs of another user namespace',
    { pinRefusal: 'EPERM' },
    'bpffs',
    '/sys/fs/bpf/podrate cannot be written (EPERM)',
    'hostUsers: false',
  ],
  [
    'no libbpf',
    { libbpf: { problem: 'libbpf.so.1 cannot be loaded', remedy: 'install libbpf' } },
    'libbpf',
    'cannot be loaded',
    'install libbpf',
  ],
  [
    'a seccomp profile in the way',
    { bpfRefusal: 'make a BPF map: operation not permitted (EPERM)' },
    'bpf',
    'bpf() is refused with all capabilities: make a BPF map',
    'seccomp profile that allows bpf() with CAP_BPF',
  ],
  ['no object', { digest: undefined }, 'object', 'cannot be read', 'make -C bpf'],
  [
    'an old kernel',
    { release: '4.19', load: { error: 'invalid argument' } },
    'kernel',
    'Linux 4.19 refuses',
    'CONFIG_CGROUP_BPF=y',
  ],
])('a machine with %s is told what is missing and what to do', (_, facts, name, found, remedy) => {
  const [check, ...others] = failed(facts);
  expect(others).toEqual([]);
  expect(check).toMatchObject({ name, result: 'failed' });
  expect(check?.found).toContain(found);
  expect(check?.remedy).toContain(remedy);
});

test('an agent that cannot enter network namespaces is warned, and what it cannot do is not checked', () => {
  const checks = preflight({ ...good, canEnterNamespaces: false });
  expect(checks.filter(({ result }) => result !== 'ok')).toMatchObject([
    { name: 'namespaces', result: 'warning', remedy: expect.stringContaining('manifests/namespaces') },
  ]);
  expect(checks.map(({ name }) => name)).not.toContain('marks');
});

test('the kernel is not judged where something else is missing', () => {
  const checks = preflight({ ...good, pinsOnBpffs: false, load: { error: 'no bpffs' } });
  expect(checks.map(({ name }) => name)).not.toContain('kernel');
});

test('a node whose pods are in cgroup v1 is warned that none of them can be limited', () => {
  const [check] = failed({ podsOnV1: '/sys/fs/cgroup/memory/kubepods' });
  expect(check).toMatchObject({ name: 'pods-on-v1', result: 'warning' });
  expect(check?.found).toContain('/sys/fs/cgroup/memory/kubepods');
});

test('controllers of version 1 that unhinge limits are warned of on the kernels where they do', () => {
  const netControllers = ['net_cls', 'net_prio'];
  expect(failed({ netControllers, release: '5.10.0-30' })).toMatchObject([{ name: 'cgroup-v1', result: 'warning' }]);
  expect(failed({ netControllers, release: '5.15.0' })).toEqual([]);
  expect(failed({ netControllers, release: '6.1.0' })).toEqual([]);
});

test.each([
  ['6.1.0-40-cloud-amd64', 'as a fixed pacing rate each'],
  ['6.12.1', 'are paced like new ones'],
  ['7.0.0', 'are paced like new ones'],
])('on Linux %s it is told what older connections get: %s', (release, words) => {
  const check = preflight({ ...good, release }).find(({ name }) => name === 'older-connections');
  expect(check).toMatchObject({ result: 'ok', found: expect.stringContaining(words) });
});

test('a kernel that cannot reach older connections is a warning, for limits hold without', () => {
  const [check] = failed({ release: '5.10', load: { adopterError: 'invalid argument' } });
  expect(check).toMatchObject({ name: 'older-connections', result: 'warning' });
  expect(check?.found).toContain('Linux 5.10 cannot reach connections that are older than a limit');
  expect(check?.remedy).toContain('Linux 5.15');
});

test('a machine that cannot mark packets is warned, and told what to do', () => {
  const [check, ...others] = failed({ release: '6.12', load: { markError: 'Invalid argument' } });
  expect(others).toEqual([]);
  expect(check).toMatchObject({
    name: 'marks',
    result: 'warning',
    remedy: expect.stringMatching(/CONFIG_NET_CLS_BPF=y/),
  });
  expect(check?.found).toMatch(/which limits do not need: Invalid argument$/);
});

test.each([
  [
    `the kernel has no HTB or no BPF filters: ${queueRemedy}`,
    'the kernel has no HTB or no BPF filters',
    /^load the modules/,
  ],
  ['Operation not permitted (EPERM)', 'Operation not permitted (EPERM)', /CAP_NET_ADMIN/],
])('a machine without queues is warned, and told what to do: %s', (queueError, found, remedy) => {
  const [check, ...others] = failed({ release: '6.12', load: { queueError } });
  expect(others).toEqual([]);
  expect(check).toMatchObject({ name: 'queues', result: 'warning', remedy: expect.stringMatching(remedy) });
  expect(check?.found).toBe(`what pods receive is policed, not queued: ${found}`);
});
