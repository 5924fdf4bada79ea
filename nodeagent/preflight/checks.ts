/** Evaluates whether limits can be enforced here, and says what to do where they cannot. Pure. */
import { isLinuxBefore } from '../base/linux-version.ts';
import { queueRemedy } from '../ingress-queue/support.ts';
import type { Facts } from './facts.ts';
import type { Confinement } from './security-module.ts';

/** The result of one check. */
export interface Check {
  /** For programs, such as `cgroup2`. */
  readonly name: string;
  /** `warning`: limits hold, but not for everything. */
  readonly result: 'ok' | 'warning' | 'failed';
  /** What was found. */
  readonly found: string;
  /** What to do; absent where all is well. */
  readonly remedy?: string;
}

const ok = (name: string, found: string): Check => ({ name, result: 'ok', found });
const warning = (name: string, found: string, remedy: string): Check => ({ name, result: 'warning', found, remedy });
const failed = (name: string, found: string, remedy: string): Check => ({ name, result: 'failed', found, remedy });

/** What lets a container off a security module. */
const unconfinedBy: Readonly<Record<Confinement['module'], string>> = {
  AppArmor:
    "set appArmorProfile.type to Unconfined in the container's securityContext, as the shipped DaemonSet does; " +
    'with Docker or Podman: --security-opt apparmor=unconfined',
  SELinux:
    "set seLinuxOptions.type to spc_t in the container's securityContext, as the shipped DaemonSet does; " +
    'with Docker or Podman: --security-opt label=type:spc_t',
};

/**
 * Checks everything that can be checked. A check that depends on a failed one is left out: its failure would say
 * nothing.
 */
export function preflight(facts: Facts): Check[] {
  const checks = [...ofProcess(facts), ...ofCgroups(facts), bpffs(facts), ...ofBpf(facts)];
  const isReady = checks.every(({ result }) => result !== 'failed');
  return [...checks, ...(isReady ? ofKernel(facts) : []), ...ofCgroupV1(facts)];
}

function ofProcess({ uid, missingCapabilities, lockedMemoryBound, release }: Facts): Check[] {
  if (uid !== 0) return [failed('privileges', `user ${uid} is not root`, 'run it as root, for example with sudo')];
  const capabilities = 'give the container the capabilities BPF, NET_ADMIN and PERFMON, as the shipped DaemonSet does';
  const privileges =
    missingCapabilities.length === 0
      ? ok('privileges', 'root with the capabilities needed')
      : failed('privileges', `root without ${missingCapabilities.join(', ')}`, capabilities);
  if (lockedMemoryBound === undefined) return [privileges];
  // Raising the bound takes CAP_SYS_RESOURCE, which the DaemonSet does without: from Linux 5.11 on nothing needs it.
  const found = `${lockedMemoryBound} bytes of memory can be locked, and BPF maps count as locked on Linux ${release}`;
  const remedy =
    "set LimitMEMLOCK=infinity in the container runtime's systemd unit, or add the capability SYS_RESOURCE " +
    '(the component linux-5.10 does); by hand: ulimit -l unlimited';
  return [privileges, failed('locked-memory', found, remedy)];
}

function ofCgroups({ cgroupMount, cgroupRoot: root, cgroupRootIsCgroup2 }: Facts): Check[] {
  if (cgroupMount === undefined) {
    const remedy =
      'boot with systemd.unified_cgroup_hierarchy=1, or mount it: ' +
      'mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified; ' +
      'in a container, mount the host directory /sys/fs/cgroup';
    return [failed('cgroup2', 'no cgroup v2 mount in /proc/self/mountinfo', remedy)];
  }
  const notCgroup2 = `${root} is not a directory of cgroup v2`;
  return [
    ok('cgroup2', `cgroup v2 is mounted at ${cgroupMount}`),
    cgroupRootIsCgroup2
      ? ok('cgroup-root', `pods are looked for below ${root}`)
      : failed('cgroup-root', notCgroup2, `give --cgroup-root a directory below ${cgroupMount}`),
  ];
}

function bpffs({ pinDirectory, pinsOnBpffs, pinRefusal, confinement }: Facts): Check {
  const name = 'bpffs';
  const found = `${pinDirectory} cannot be written (${pinRefusal})`;
  if (!pinsOnBpffs) {
    const remedy =
      'mount one: mount -t bpf bpf /sys/fs/bpf (on the node; in a container, mount the host directory /sys/fs/bpf)';
    return failed(name, `${pinDirectory} is not in a BPF file system`, remedy);
  }
  if (pinRefusal === undefined) return ok(name, `${pinDirectory} is in a BPF file system and can be written`);
  // Both modules refuse with EACCES.
  if (pinRefusal === 'EACCES' && confinement !== undefined) {
    const { module, label } = confinement;
    const rule = module === 'AppArmor' ? 'profile' : 'type';
    return failed(name, `${found}: ${module} forbids it, by the ${rule} ${label}`, unconfinedBy[module]);
  }
  const remedy =
    pinRefusal === 'EROFS'
      ? 'mount it writable: mount -o remount,rw /sys/fs/bpf, in a container without readOnly'
      : 'run it as root of the host: in no user namespace (hostUsers: false, rootless containers)';
  return failed(name, found, remedy);
}

function ofBpf({ libbpf, bpfRefusal, objectFile, digest }: Facts): Check[] {
  // With all capabilities, only a seccomp profile or a security module is left to refuse bpf().
  const seccomp =
    'give the container a seccomp profile that allows bpf() with CAP_BPF: those of CRI-O and Podman want ' +
    'CAP_SYS_ADMIN for it (docs/platforms.md)';
  const build = 'install clang, make and libbpf-dev and build them with: make -C bpf; or name them with --bpf-object';
  return [
    typeof libbpf === 'string'
      ? ok('libbpf', `libbpf ${libbpf}`)
      : failed('libbpf', libbpf.problem, libbpf.remedy ?? 'install libbpf 1.0 or newer'),
    ...(bpfRefusal === undefined
      ? []
      : [failed('bpf', `bpf() is refused with all capabilities: ${bpfRefusal}`, seccomp)]),
    digest === undefined
      ? failed('object', `the compiled programs ${objectFile} cannot be read`, build)
      : ok('object', `${objectFile}, version ${digest}`),
  ];
}

function ofKernel({ load, release, canEnterNamespaces }: Facts): Check[] {
  // What enters network namespaces is an addition that the shipped DaemonSet leaves out.
  const namespaces = canEnterNamespaces
    ? ok('namespaces', 'network namespaces can be entered')
    : warning(
        'namespaces',
        'without CAP_SYS_ADMIN no network namespace can be entered: packets are not marked (DSCP), and connections ' +
          'that are older than a limit are held by dropping',
        'where that is needed, add the component manifests/namespaces',
      );
  if (load === undefined) return [namespaces];
  if (load.error !== undefined) {
    const remedy = 'the kernel needs Linux 5.10 or newer, CONFIG_BPF_SYSCALL=y, CONFIG_CGROUP_BPF=y and CONFIG_INET=y';
    return [failed('kernel', `Linux ${release} refuses the programs: ${load.error}`, remedy), namespaces];
  }
  const more = canEnterNamespaces ? [olderConnections(release, load), marks(load), queues(load)] : [];
  return [ok('kernel', `Linux ${release} loads the programs`), ...more, namespaces];
}

type Load = NonNullable<Facts['load']>;

// Kernel 3cee6fb8e69e (5.15) lets the TCP iterator set socket options, d53050934e66 (6.12) the callback flags among
// them.
function olderConnections(release: string, { adopterError }: Load): Check {
  const name = 'older-connections';
  const older = 'connections that are older than a limit';
  if (adopterError !== undefined) {
    const found = `Linux ${release} cannot reach ${older}: they are held by dropping until they close`;
    return warning(name, found, 'it takes Linux 5.15 or newer with CONFIG_DEBUG_INFO_BTF=y');
  }
  return isLinuxBefore(release, 6, 12)
    ? ok(name, `${older} get it as a fixed pacing rate each (Linux 6.12 paces them like new ones)`)
    : ok(name, `${older} are paced like new ones`);
}

function marks({ markError }: Load): Check {
  if (markError === undefined) return ok('marks', 'packets can be marked with a code point (DSCP)');
  const found = `packets cannot be marked with a code point (DSCP), which limits do not need: ${markError}`;
  return warning('marks', found, 'the kernel needs CONFIG_NET_CLS_BPF=y and CONFIG_NET_SCH_INGRESS');
}

function queues({ queueError }: Load): Check {
  if (queueError === undefined) return ok('queues', 'what pods receive can be queued (HTB, BPF filters)');
  const remedy = queueError.includes(queueRemedy) ? queueRemedy : 'the agent needs CAP_NET_ADMIN';
  const found = `what pods receive is policed, not queued: ${queueError.replace(`: ${remedy}`, '')}`;
  return warning('queues', found, remedy);
}

function ofCgroupV1({ podsOnV1, release, netControllers }: Facts): Check[] {
  const checks: Check[] = [];
  if (podsOnV1 !== undefined) {
    const found = `the kubelet keeps the pods in cgroup v1 (${podsOnV1}), where none can be limited`;
    const remedy = 'boot with systemd.unified_cgroup_hierarchy=1, which gives the kubelet cgroup v2';
    checks.push(warning('pods-on-v1', found, remedy));
  }
  // Kernel 8520e224f547 (5.15): before it, a socket whose task is in a net_cls or net_prio cgroup forgets its v2 cgroup.
  if (netControllers.length > 0 && isLinuxBefore(release, 5, 15)) {
    const found = `the v1 controllers ${netControllers.join(' and ')} are mounted on Linux ${release}`;
    const remedy =
      'sockets of tasks in their cgroups escape every limit before Linux 5.15: boot with cgroup_no_v1=net_cls,net_prio';
    checks.push(warning('cgroup-v1', found, remedy));
  }
  return checks;
}
