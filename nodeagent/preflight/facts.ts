/** Gathers what the preflight evaluates. */
import { mkdirSync, readFileSync, rmdirSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { getuid } from 'node:process';
import { errorOf, orUndefined, toError } from '../base/errors.ts';
import { isLinuxBefore } from '../base/linux-version.ts';
import { cgroupMounts } from '../cgroup/mount.ts';
import { isPodTree } from '../cgroup/names.ts';
import { directories } from '../cgroup/tree.ts';
import type { Marker } from '../dscp/marker.ts';
import { tryQueue } from '../ingress-queue/support.ts';
import { BpfError } from '../libbpf/error.ts';
import { loadLibrary } from '../libbpf/library.ts';
import { probeMap } from '../libbpf/map.ts';
import { tryInstall } from '../shaper/install.ts';
import { digestOf } from '../shaper/pins.ts';
import { readConfinement } from './security-module.ts';

/** Where to look. */
export interface FactsOptions {
  /** Directory below which pods are looked for; the whole cgroup2 tree if undefined. */
  readonly cgroupRoot: string | undefined;
  readonly pinDirectory: string;
  readonly objectFile: string;
  readonly marker: Pick<Marker, 'check'>;
  /** Whether to load the real programs, beside those in force, and to give them back. */
  readonly tryLoad: boolean;
}

/** What is the case on this machine, without judgement. */
export type Facts = Awaited<ReturnType<typeof gatherFacts>>;

// Magic numbers of include/uapi/linux/magic.h.
const bpffsMagic = 0xcafe4a11n;
const cgroup2Magic = 0x63677270n;
/** Bit numbers of include/uapi/linux/capability.h. */
const neededCapabilities = { CAP_NET_ADMIN: 12n, CAP_PERFMON: 38n, CAP_BPF: 39n } as const;
const sysAdminBit = 21n;

/** Gathers the facts. Nothing that is missing makes it fail. */
export async function gatherFacts(options: FactsOptions) {
  const { pinDirectory, objectFile, tryLoad } = options;
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const cgroupMount = cgroupMounts(mountinfo)[0]?.path;
  const cgroupRoot = cgroupMount === undefined ? undefined : resolveRoot(options.cgroupRoot, cgroupMount);
  const uid = getuid?.() ?? -1;
  const capabilities = effectiveCapabilities();
  const canEnterNamespaces = has(capabilities, sysAdminBit);
  const missingCapabilities = missingOf(capabilities);
  const pinParent = nearest(pinDirectory);
  const pinsOnBpffs = typeOf(pinParent) === bpffsMagic;
  const pinRefusal = uid === 0 && pinsOnBpffs ? refusalOfPins(pinParent) : undefined;
  const libbpf = findLibbpf();
  const isPrivileged = uid === 0 && missingCapabilities.length === 0;
  const bpfRefusal = isPrivileged && typeof libbpf === 'string' ? refusalOfBpf() : undefined;
  const digest = orUndefined(() => digestOf(objectFile));
  const canLoad = isPrivileged && typeof libbpf === 'string' && bpfRefusal === undefined && digest !== undefined;
  return {
    uid,
    /** Of those that limits need. */
    missingCapabilities,
    /** Whether network namespaces can be entered, which takes CAP_SYS_ADMIN and which limits do not need. */
    canEnterNamespaces,
    /** Why the kernel refuses bpf() though all capabilities are there; undefined if it does not, or if that was not tried. */
    bpfRefusal,
    release: release(),
    /** How much memory BPF maps may take, in bytes; undefined where nothing bounds it. */
    lockedMemoryBound: lockedMemoryOf(release(), readFileSync('/proc/self/limits', 'utf8')),
    cgroupMount,
    cgroupRoot,
    cgroupRootIsCgroup2: cgroupRoot !== undefined && typeOf(cgroupRoot) === cgroup2Magic,
    /** Mounted v1 controllers among net_cls and net_prio. */
    netControllers: ['net_cls', 'net_prio'].filter((name) => hasV1Controller(mountinfo, name)),
    /** Where a kubelet keeps pods in cgroup v1; undefined if it does not, or also keeps them in cgroup v2. */
    podsOnV1: cgroupMount === undefined ? undefined : await findPodsOnV1(mountinfo, cgroupMount),
    pinDirectory,
    pinsOnBpffs,
    /** Why no pin can be made, such as `EROFS`; undefined if pins can be made, or if that was not tried. */
    pinRefusal,
    /** What confines this process. */
    confinement: readConfinement(),
    /** Its version, or what is wrong. */
    libbpf,
    objectFile,
    /** Names this version of the programs; undefined if the object cannot be read. */
    digest,
    /** Whether the kernel takes the programs; undefined if that was not tried. */
    load: tryLoad && canLoad ? tryKernel(options, canEnterNamespaces) : undefined,
  };
}

/** The directory that --cgroup-root means: as it is, or relative to the mount. */
export function resolveRoot(root: string | undefined, mount: string): string {
  if (root === undefined) return mount;
  return isAbsolute(root) && (root === mount || root.startsWith(`${mount}/`)) ? root : join(mount, root);
}

/** Why limits cannot be enforced, older connections not adopted, packets not marked, received ones not queued, if so. */
interface Refusals {
  readonly error?: string | undefined;
  readonly adopterError?: string | undefined;
  readonly markError?: string | undefined;
  readonly queueError?: string | undefined;
}

/** Tries what the kernel must have. @param canEnter what is for network namespaces is tried in one of its own */
function tryKernel({ marker, objectFile }: FactsOptions, canEnter: boolean): Refusals {
  try {
    const adopterError = tryInstall(objectFile)?.message;
    return canEnter ? { adopterError, markError: marker.check()?.message, queueError: tryQueue() } : { adopterError };
  } catch (error) {
    return { error: toError(error).message };
  }
}

/** Makes a directory in a BPF file system, which refuses names with a dot, and removes it. @returns why it could not */
function refusalOfPins(parent: string): string | undefined {
  const probe = join(parent, `podrate_probe_${process.pid}_${process.hrtime.bigint()}`);
  const error: NodeJS.ErrnoException | undefined = errorOf(() => {
    mkdirSync(probe, { mode: 0o700 });
    rmdirSync(probe);
  });
  return error?.code;
}

function findLibbpf(): string | Pick<BpfError, 'problem' | 'remedy'> {
  try {
    return loadLibrary().version;
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
}

function refusalOfBpf(): string | undefined {
  const error = errorOf(probeMap);
  return error instanceof BpfError ? error.problem : error?.message;
}

/**
 * Returns how much memory this process may lock, in bytes; undefined if nothing bounds what BPF maps take. Before Linux
 * 5.11 they count as locked memory (RLIMIT_MEMLOCK), of which a process has 64 KB or some MB. libbpf lifts the bound with
 * the first map that this process makes, unless that takes CAP_SYS_RESOURCE.
 * @param release of the kernel, as uname prints it
 * @param limits the text of /proc/self/limits
 */
export function lockedMemoryOf(release: string, limits: string): number | undefined {
  const [, soft] = /^Max locked memory +(\d+) /m.exec(limits) ?? [];
  return soft === undefined || !isLinuxBefore(release, 5, 11) ? undefined : Number(soft);
}

function effectiveCapabilities(): bigint {
  const status = readFileSync('/proc/self/status', 'utf8');
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
}

/** The kernel takes CAP_SYS_ADMIN for CAP_BPF and CAP_PERFMON. */
function missingOf(capabilities: bigint): string[] {
  return Object.entries(neededCapabilities)
    .filter(([name, bit]) => !has(capabilities, bit) && (name === 'CAP_NET_ADMIN' || !has(capabilities, sysAdminBit)))
    .map(([name]) => name);
}

function has(capabilities: bigint, bit: bigint): boolean {
  return ((capabilities >> bit) & 1n) === 1n;
}

/** On hybrid nodes both versions are mounted, and the kubelet may know only one. */
async function findPodsOnV1(mountinfo: string, cgroup2: string): Promise<string | undefined> {
  const treeIn = async (directory: string) => (await directories(directory))?.find(isPodTree);
  if ((await treeIn(cgroup2)) !== undefined) return undefined;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const path = before.split(' ')[4];
    if (path === undefined || !after.startsWith('cgroup ')) continue;
    const tree = await treeIn(path);
    if (tree !== undefined) return join(path, tree);
  }
  return undefined;
}

function hasV1Controller(mountinfo: string, name: string): boolean {
  return mountinfo.split('\n').some((line) => {
    const [type, , options = ''] = (line.split(' - ')[1] ?? '').split(' ');
    return type === 'cgroup' && options.split(',').includes(name);
  });
}

/** Returns a path, or the nearest directory above it that exists. */
function nearest(path: string): string {
  return typeOf(path) !== undefined || path === dirname(path) ? path : nearest(dirname(path));
}

function typeOf(path: string): bigint | undefined {
  return orUndefined(() => statfsSync(path, { bigint: true }).type);
}
