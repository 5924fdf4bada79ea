/** Judges whether limits can be enforced here, and says what to do where they cannot. */

import { isLinuxBefore } from '../base/linux-version.ts';
import { queueRemedy } from '../ingress-queue/support.ts';
import type { Facts } from './facts.ts';
import type { Confinement } from './security-module.ts';

/** One judgement. */
export interface Check {
  readonly name:
    | 'privileges'
    | 'locked-memory'
    | 'cgroup2'
    | 'cgroup-root'
    | 'bpffs'
    | 'libbpf'
    | 'bpf'
    | 'namespaces'
    | 'object'
    | 'kernel'
    | 'older-connections'
    | 'marks'
    | 'queues'
    | 'pods-on-v1'
    | 'cgroup-v1';
  /** `warning`: limits hold, but not for everything. */
  readonly result: 'ok' | 'warning' | 'failed';
  /** What was found. */
  readonly found: string;
  /** What to do; absent where all is well. */
  readonly remedy?: string;
}

type Name = Check['name'];

const ok = (name: Name, found: string): Check => ({ name, result: 'ok', found });
const warning = (name: Name, found: string, remedy: string): Check => ({ name, result: 'warning', found, remedy });
const failed = (name: Name, found: string, remedy: string): Check => ({ name, result: 'failed', found, remedy });

/**
 * Checks everything that can be checked. A check that depends on a failed one is left out: its failure would say
 * nothing.
 */
export function preflight(facts: Facts): Check[] {
  const checks: Check[] = [
    privileges(facts),
    ...lockedMemory(facts),
    cgroup2(facts),
    ...cgroupRoot(facts),
    bpffs(facts),
    libbpf(facts),
    ...bpf(facts),
    object(facts),
  ];
  const ready = checks.every(({ result }) => result !== 'failed');
  const { load } = facts;
  if (ready && load !== undefined) {
    checks.push(kernel(load));
    if (facts.canEnterNamespaces && load.error === undefined) {
      checks.push(olderConnections(load), marks(load), queues(load));
    }
  }
  if (ready) checks.push(namespaces(facts));
  return [...checks, ...podsOnV1(facts), ...cgroupV1(facts)];
}

function privileges({ uid, missingCapabilities }: Facts): Check {
  const name = 'privileges';
  if (uid !== 0) return failed(name, `user ${uid} is not root`, 'run it as root, for example with sudo');
  if (missingCapabilities.length === 0) return ok(name, 'root with the capabilities needed');
  const remedy = 'give the container the capabilities BPF, NET_ADMIN and PERFMON, as the shipped DaemonSet does';
  return failed(name, `root without ${missingCapabilities.join(', ')}`, remedy);
}

// Raising the bound takes CAP_SYS_RESOURCE, which the DaemonSet does without: from Linux 5.11 on nothing needs it.
function lockedMemory({ release, uid, lockedMemoryBound }: Facts): Check[] {
  if (lockedMemoryBound === undefined || uid !== 0) return [];
  const found = `${lockedMemoryBound} bytes of memory can be locked, and BPF maps count as locked on Linux ${release}`;
  const remedy =
    "set LimitMEMLOCK=infinity in the container runtime's systemd unit, or add the capability SYS_RESOURCE " +
    '(the component linux-5.10 does); by hand: ulimit -l unlimited';
  return [failed('locked-memory', found, remedy)];
}

function cgroup2({ cgroupMount }: Facts): Check {
  const name = 'cgroup2';
  if (cgroupMount !== undefined) return ok(name, `cgroup v2 is mounted at ${cgroupMount}`);
  const remedy =
    'boot with systemd.unified_cgroup_hierarchy=1, or mount it: ' +
    'mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified; ' +
    'in a container, mount the host directory /sys/fs/cgroup';
  return failed(name, 'no cgroup v2 mount in /proc/self/mountinfo', remedy);
}

function cgroupRoot({ cgroupMount, cgroupRoot: root, cgroupRootIsCgroup2 }: Facts): Check[] {
  if (cgroupMount === undefined || root === undefined) return [];
  const name = 'cgroup-root';
  if (cgroupRootIsCgroup2) return [ok(name, `pods are looked for below ${root}`)];
  const remedy = `give --cgroup-root a directory below ${cgroupMount}`;
  return [failed(name, `${root} is not a directory of cgroup v2`, remedy)];
}

function bpffs({ pinDirectory, pinsOnBpffs, pinRefusal }: Facts): Check {
  const name = 'bpffs';
  if (!pinsOnBpffs) {
    const remedy =
      'mount one: mount -t bpf bpf /sys/fs/bpf (on the node; in a container, mount the host directory /sys/fs/bpf)';
    return failed(name, `${pinDirectory} is not in a BPF file system`, remedy);
  }
  if (pinRefusal !== undefined) return unwritable(pinDirectory, pinRefusal);
  return ok(name, `${pinDirectory} is in a BPF file system and can be written`);
}

/** What lets a container off a security module. */
const unconfinedBy: Readonly<Record<Confinement['module'], string>> = {
  AppArmor:
    "set appArmorProfile.type to Unconfined in the container's securityContext, as the shipped DaemonSet does; " +
    'with Docker or Podman: --security-opt apparmor=unconfined',
  SELinux:
    "set seLinuxOptions.type to spc_t in the container's securityContext, as the shipped DaemonSet does; " +
    'with Docker or Podman: --security-opt label=type:spc_t',
};

function unwritable(pinDirectory: string, { code, confinement }: NonNullable<Facts['pinRefusal']>): Check {
  const name = 'bpffs';
  const found = `${pinDirectory} cannot be written (${code})`;
  // Both modules refuse with EACCES.
  if (code === 'EACCES' && confinement !== undefined) {
    const { module, label } = confinement;
    const rule = module === 'AppArmor' ? 'profile' : 'type';
    return failed(name, `${found}: ${module} forbids it, by the ${rule} ${label}`, unconfinedBy[module]);
  }
  if (code === 'EROFS') {
    return failed(name, found, 'mount it writable: mount -o remount,rw /sys/fs/bpf, in a container without readOnly');
  }
  const remedy = 'run it as root of the host: in no user namespace (hostUsers: false, rootless containers)';
  return failed(name, found, remedy);
}

function libbpf({ libbpf: found }: Facts): Check {
  const name = 'libbpf';
  if ('version' in found) return ok(name, `libbpf ${found.version}`);
  return failed(name, found.problem, found.remedy ?? 'install libbpf 1.0 or newer');
}

/** With all capabilities, only a seccomp profile or a security module is left to refuse bpf(). */
function bpf({ bpfRefusal }: Facts): Check[] {
  if (bpfRefusal === undefined) return [];
  const remedy =
    'give the container a seccomp profile that allows bpf() with CAP_BPF: those of CRI-O and Podman want ' +
    'CAP_SYS_ADMIN for it (docs/platforms.md)';
  return [failed('bpf', `bpf() is refused with all capabilities: ${bpfRefusal}`, remedy)];
}

/** What looks into network namespaces is an addition that the shipped DaemonSet leaves out. */
function namespaces({ canEnterNamespaces }: Facts): Check {
  const name = 'namespaces';
  if (canEnterNamespaces) return ok(name, 'network namespaces can be entered');
  const found =
    'without CAP_SYS_ADMIN no network namespace can be entered: packets are not marked (DSCP), and connections ' +
    'that are older than a limit are held by dropping';
  return warning(name, found, 'where that is needed, add the component manifests/namespaces');
}

function object({ objectFile, digest }: Facts): Check {
  const name = 'object';
  if (digest !== undefined) return ok(name, `${objectFile}, version ${digest}`);
  const remedy = 'install clang, make and libbpf-dev and build them with: make -C bpf; or name them with --bpf-object';
  return failed(name, `the compiled programs ${objectFile} cannot be read`, remedy);
}

type Load = NonNullable<Facts['load']>;

function kernel({ release, error }: Load): Check {
  const name = 'kernel';
  if (error === undefined) return ok(name, `Linux ${release} loads the programs`);
  const remedy = 'the kernel needs Linux 5.10 or newer, CONFIG_BPF_SYSCALL=y, CONFIG_CGROUP_BPF=y and CONFIG_INET=y';
  return failed(name, `Linux ${release} refuses the programs: ${error}`, remedy);
}

// Kernel 3cee6fb8e69e (5.15) lets the TCP iterator set socket options, d53050934e66 (6.12) the callback flags among
// them.
function olderConnections({ release, adopterError }: Load): Check {
  const name = 'older-connections';
  if (adopterError !== undefined) {
    const found =
      `Linux ${release} cannot reach connections that are older than a limit: ` +
      'they are held by dropping until they close';
    return warning(name, found, 'it takes Linux 5.15 or newer with CONFIG_DEBUG_INFO_BTF=y');
  }
  const found = isLinuxBefore(release, 6, 12)
    ? 'connections that are older than a limit get it as a fixed pacing rate each (Linux 6.12 paces them like new ones)'
    : 'connections that are older than a limit are paced like new ones';
  return ok(name, found);
}

function marks({ markError }: Load): Check {
  const name = 'marks';
  if (markError === undefined) return ok(name, 'packets can be marked with a code point (DSCP)');
  const found = `packets cannot be marked with a code point (DSCP), which limits do not need: ${markError}`;
  return warning(name, found, 'the kernel needs CONFIG_NET_CLS_BPF=y and CONFIG_NET_SCH_INGRESS');
}

function queues({ queueError }: Load): Check {
  const name = 'queues';
  if (queueError === undefined) return ok(name, 'what pods receive can be queued (HTB, BPF filters)');
  const remedy = queueError.includes(queueRemedy) ? queueRemedy : 'the agent needs CAP_NET_ADMIN';
  const found = `what pods receive is policed, not queued: ${queueError.replace(`: ${remedy}`, '')}`;
  return warning(name, found, remedy);
}

function podsOnV1({ podsOnV1: directory }: Facts): Check[] {
  if (directory === undefined) return [];
  const found = `the kubelet keeps the pods in cgroup v1 (${directory}), where none can be limited`;
  const remedy = 'boot with systemd.unified_cgroup_hierarchy=1, which gives the kubelet cgroup v2';
  return [warning('pods-on-v1', found, remedy)];
}

// Kernel 8520e224f547 (5.15): before it, a socket whose task is in a net_cls or net_prio cgroup forgets its v2 cgroup.
function cgroupV1({ release, netControllers }: Facts): Check[] {
  if (netControllers.length === 0 || !isLinuxBefore(release, 5, 15)) return [];
  const found = `the v1 controllers ${netControllers.join(' and ')} are mounted on Linux ${release}`;
  const remedy =
    'sockets of tasks in their cgroups escape every limit before Linux 5.15: boot with cgroup_no_v1=net_cls,net_prio';
  return [warning('cgroup-v1', found, remedy)];
}
