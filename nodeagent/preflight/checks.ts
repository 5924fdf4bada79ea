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

/** Checks everything that can be checked. A check that depends on a failed one is left out: its failure would say nothing. */
export function preflight(facts: Facts): Check[] {
  const checks: Check[] = [
    privileges(facts),
    ...lockedMemory(facts),
    cgroup2(facts),
    ...cgroupRoot(facts),
    bpffs(facts),
    libbpf(facts),
    ...bpf(facts),
  ];
  checks.push(object(facts));
  const ready = checks.every(({ result }) => result !== 'failed');
  if (ready && facts.load !== undefined) {
    checks.push(kernel(facts.load));
    if (facts.canEnterNamespaces) {
      checks.push(...olderConnections(facts.load), ...marks(facts.load), ...queues(facts.load));
    }
  }
  if (ready) checks.push(...namespaces(facts));
  return [...checks, ...podsOnV1(facts), ...cgroupV1(facts)];
}

function privileges({ uid, missingCapabilities }: Facts): Check {
  const name = 'privileges';
  if (missingCapabilities.length === 0 && uid === 0)
    return { name, result: 'ok', found: 'root with the capabilities needed' };
  if (uid !== 0) {
    return {
      name,
      result: 'failed',
      found: `user ${uid} is not root`,
      remedy: 'run it as root, for example with sudo',
    };
  }
  return {
    name,
    result: 'failed',
    found: `root without ${missingCapabilities.join(', ')}`,
    remedy: 'give the container the capabilities BPF, NET_ADMIN and PERFMON, as the shipped DaemonSet does',
  };
}

// Raising the bound takes CAP_SYS_RESOURCE, which the DaemonSet does without: from Linux 5.11 on nothing needs it.
function lockedMemory({ release, uid, lockedMemoryBound }: Facts): Check[] {
  if (lockedMemoryBound === undefined || uid !== 0) return [];
  return [
    {
      name: 'locked-memory',
      result: 'failed',
      found: `${lockedMemoryBound} bytes of memory can be locked, and BPF maps count as locked on Linux ${release}`,
      remedy:
        "set LimitMEMLOCK=infinity in the container runtime's systemd unit, or add the capability SYS_RESOURCE " +
        '(the component linux-5.10 does); by hand: ulimit -l unlimited',
    },
  ];
}

function cgroup2({ cgroupMount }: Facts): Check {
  const name = 'cgroup2';
  if (cgroupMount !== undefined) return { name, result: 'ok', found: `cgroup v2 is mounted at ${cgroupMount}` };
  return {
    name,
    result: 'failed',
    found: 'no cgroup v2 mount in /proc/self/mountinfo',
    remedy:
      'boot with systemd.unified_cgroup_hierarchy=1, or mount it: ' +
      'mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified; in a container, mount the host directory /sys/fs/cgroup',
  };
}

function cgroupRoot({ cgroupMount, cgroupRoot: root, cgroupRootIsCgroup2 }: Facts): Check[] {
  if (cgroupMount === undefined || root === undefined) return [];
  const name = 'cgroup-root';
  if (cgroupRootIsCgroup2) return [{ name, result: 'ok', found: `pods are looked for below ${root}` }];
  const remedy = `give --cgroup-root a directory below ${cgroupMount}`;
  return [{ name, result: 'failed', found: `${root} is not a directory of cgroup v2`, remedy }];
}

function bpffs({ pinDirectory, pinsOnBpffs, pinRefusal }: Facts): Check {
  const name = 'bpffs';
  if (!pinsOnBpffs) {
    return {
      name,
      result: 'failed',
      found: `${pinDirectory} is not in a BPF file system`,
      remedy:
        'mount one: mount -t bpf bpf /sys/fs/bpf (on the node; in a container, mount the host directory /sys/fs/bpf)',
    };
  }
  if (pinRefusal !== undefined) return { name, result: 'failed', ...unwritable(pinDirectory, pinRefusal) };
  return { name, result: 'ok', found: `${pinDirectory} is in a BPF file system and can be written` };
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

function unwritable(
  pinDirectory: string,
  { code, confinement }: NonNullable<Facts['pinRefusal']>,
): Pick<Check, 'found' | 'remedy'> {
  const found = `${pinDirectory} cannot be written (${code})`;
  // Both modules refuse with EACCES.
  if (code === 'EACCES' && confinement !== undefined) {
    const { module, label } = confinement;
    const rule = module === 'AppArmor' ? 'profile' : 'type';
    return { found: `${found}: ${module} forbids it, by the ${rule} ${label}`, remedy: unconfinedBy[module] };
  }
  if (code === 'EROFS') {
    return { found, remedy: 'mount it writable: mount -o remount,rw /sys/fs/bpf, in a container without readOnly' };
  }
  return { found, remedy: 'run it as root of the host: in no user namespace (hostUsers: false, rootless containers)' };
}

function libbpf({ libbpf: found }: Facts): Check {
  const name = 'libbpf';
  return 'version' in found
    ? { name, result: 'ok', found: `libbpf ${found.version}` }
    : { name, result: 'failed', found: found.problem, remedy: found.remedy ?? 'install libbpf 1.0 or newer' };
}

/** With all capabilities, only a seccomp profile or a security module is left to refuse bpf(). */
function bpf({ bpfRefusal }: Facts): Check[] {
  if (bpfRefusal === undefined) return [];
  const remedy =
    'give the container a seccomp profile that allows bpf() with CAP_BPF: those of CRI-O and Podman want ' +
    'CAP_SYS_ADMIN for it (docs/platforms.md)';
  return [{ name: 'bpf', result: 'failed', found: `bpf() is refused with all capabilities: ${bpfRefusal}`, remedy }];
}

/** What looks into network namespaces is an addition that the shipped DaemonSet leaves out. */
function namespaces({ canEnterNamespaces }: Facts): Check[] {
  const name = 'namespaces';
  if (canEnterNamespaces) return [{ name, result: 'ok', found: 'network namespaces can be entered' }];
  return [
    {
      name,
      result: 'warning',
      found:
        'without CAP_SYS_ADMIN no network namespace can be entered: packets are not marked (DSCP), and connections ' +
        'that are older than a limit are held by dropping',
      remedy: 'where that is needed, add the component manifests/namespaces',
    },
  ];
}

function object({ objectFile, digest }: Facts): Check {
  const name = 'object';
  if (digest !== undefined) return { name, result: 'ok', found: `${objectFile}, version ${digest}` };
  return {
    name,
    result: 'failed',
    found: `the compiled programs ${objectFile} cannot be read`,
    remedy: 'build them with: make -C bpf, or name them with --bpf-object',
  };
}

function kernel(load: NonNullable<Facts['load']>): Check {
  const name = 'kernel';
  if (load.error === undefined) return { name, result: 'ok', found: `Linux ${load.release} loads the programs` };
  const remedy = 'the kernel needs Linux 5.10 or newer, CONFIG_BPF_SYSCALL=y, CONFIG_CGROUP_BPF=y and CONFIG_INET=y';
  return { name, result: 'failed', found: `Linux ${load.release} refuses the programs: ${load.error}`, remedy };
}

// Kernel 3cee6fb8e69e (5.15) lets the TCP iterator set socket options, d53050934e66 (6.12) the callback flags among them.
function olderConnections({ release, error, adopterError }: NonNullable<Facts['load']>): Check[] {
  const name = 'older-connections';
  if (error !== undefined) return [];
  if (adopterError !== undefined) {
    return [
      {
        name,
        result: 'warning',
        found: `Linux ${release} cannot reach connections that are older than a limit: they are held by dropping until they close`,
        remedy: 'it takes Linux 5.15 or newer with CONFIG_DEBUG_INFO_BTF=y',
      },
    ];
  }
  const found = isLinuxBefore(release, 6, 12)
    ? 'connections that are older than a limit get it as a fixed pacing rate each (Linux 6.12 paces them like new ones)'
    : 'connections that are older than a limit are paced like new ones';
  return [{ name, result: 'ok', found }];
}

function marks({ error, markError }: NonNullable<Facts['load']>): Check[] {
  const name = 'marks';
  if (error !== undefined) return [];
  if (markError === undefined) return [{ name, result: 'ok', found: 'packets can be marked with a code point (DSCP)' }];
  const remedy = 'the kernel needs CONFIG_NET_CLS_BPF=y and CONFIG_NET_SCH_INGRESS';
  const found = `packets cannot be marked with a code point (DSCP), which limits do not need: ${markError}`;
  return [{ name, result: 'warning', found, remedy }];
}

function queues({ error, queueError }: NonNullable<Facts['load']>): Check[] {
  const name = 'queues';
  if (error !== undefined) return [];
  if (queueError === undefined)
    return [{ name, result: 'ok', found: 'what pods receive can be queued (HTB, BPF filters)' }];
  const remedy = queueError.includes(queueRemedy) ? queueRemedy : 'the agent needs CAP_NET_ADMIN';
  const found = `what pods receive is policed, not queued: ${queueError.replace(`: ${remedy}`, '')}`;
  return [{ name, result: 'warning', found, remedy }];
}

function podsOnV1({ podsOnV1: directory }: Facts): Check[] {
  if (directory === undefined) return [];
  return [
    {
      name: 'pods-on-v1',
      result: 'warning',
      found: `the kubelet keeps the pods in cgroup v1 (${directory}), where none can be limited`,
      remedy: 'boot with systemd.unified_cgroup_hierarchy=1, which gives the kubelet cgroup v2',
    },
  ];
}

// Kernel 8520e224f547 (5.15): before it, a socket whose task is in a net_cls or net_prio cgroup forgets its v2 cgroup.
function cgroupV1({ release, netControllers }: Facts): Check[] {
  if (netControllers.length === 0 || !isLinuxBefore(release, 5, 15)) return [];
  return [
    {
      name: 'cgroup-v1',
      result: 'warning',
      found: `the v1 controllers ${netControllers.join(' and ')} are mounted on Linux ${release}`,
      remedy: `sockets of tasks in their cgroups escape every limit before Linux 5.15: boot with cgroup_no_v1=net_cls,net_prio`,
    },
  ];
}
