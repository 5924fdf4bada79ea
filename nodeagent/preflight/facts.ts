/** Gathers what the preflight judges. */
import { readFile, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { getuid } from 'node:process';
import { cgroupMounts } from '../cgroup/mount.ts';
import { isPodTree } from '../cgroup/names.ts';
import { directories } from '../cgroup/tree.ts';
import type { Marker } from '../dscp/marker.ts';
import { tryQueue } from '../ingress-queue/support.ts';
import { BpfError } from '../libbpf/error.ts';
import { loadLibrary } from '../libbpf/library.ts';
import { lockedMemoryBound } from '../libbpf/locked-memory.ts';
import { probeMap } from '../libbpf/map.ts';
import { tryInstall } from '../shaper/install.ts';
import { digestOf } from '../shaper/pins.ts';
import { probePins } from './pin-probe.ts';
import { type Confinement, readConfinement } from './security-module.ts';

/** What is the case on this machine, without judgement. */
export interface Facts {
  readonly uid: number;
  /** Of those that limits need. */
  readonly missingCapabilities: readonly string[];
  /** Whether network namespaces can be entered, which takes CAP_SYS_ADMIN and which limits do not need. */
  readonly canEnterNamespaces: boolean;
  /** Why the kernel refuses bpf() though all capabilities are there; undefined if it does not, or if that was not tried. */
  readonly bpfRefusal: string | undefined;
  readonly release: string;
  /** How much memory BPF maps may take, in bytes; undefined where nothing bounds it. */
  readonly lockedMemoryBound: number | undefined;
  readonly cgroupMount: string | undefined;
  readonly cgroupRoot: string | undefined;
  readonly cgroupRootIsCgroup2: boolean;
  /** Mounted v1 controllers among net_cls and net_prio. */
  readonly netControllers: readonly string[];
  /** Where a kubelet keeps pods in cgroup v1; undefined if it does not, or also keeps them in cgroup v2. */
  readonly podsOnV1: string | undefined;
  readonly pinDirectory: string;
  readonly pinsOnBpffs: boolean;
  /** Why no pin can be made, and what confines this process; undefined if pins can be made, or if that was not tried. */
  readonly pinRefusal: { readonly code: string; readonly confinement: Confinement | undefined } | undefined;
  readonly libbpf: { readonly version: string } | { readonly problem: string; readonly remedy?: string };
  readonly objectFile: string;
  /** Names this version of the programs; undefined if the object cannot be read. */
  readonly digest: string | undefined;
  /** Whether the kernel takes the programs; undefined if that was not tried. */
  readonly load:
    | {
        readonly release: string;
        readonly error?: string;
        /** Why older connections cannot be adopted. */
        readonly adopterError?: string;
        /** Why packets cannot be marked. */
        readonly markError?: string;
        /** Why there can be no ingress queues. */
        readonly queueError?: string;
      }
    | undefined;
}

/** Where to look. */
export interface FactsOptions {
  /** Directory below which pods are looked for; the whole cgroup2 tree if undefined. */
  readonly cgroupRoot: string | undefined;
  readonly pinDirectory: string;
  readonly objectFile: string;
  readonly marker: Pick<Marker, 'check'>;
  /** Whether to load the real programs, beside those in force, and to remove them again. */
  readonly tryLoad: boolean;
  /** The mount table to read; /proc/self/mountinfo if undefined. */
  readonly mountinfo?: string | undefined;
}

// Magic numbers of include/uapi/linux/magic.h.
const bpffsMagic = 0xcafe4a11n;
const cgroup2Magic = 0x63677270n;
/** Bit numbers of include/uapi/linux/capability.h. */
const neededCapabilities = { CAP_NET_ADMIN: 12n, CAP_PERFMON: 38n, CAP_BPF: 39n } as const;
const sysAdminBit = 21n;

/** Gathers the facts. Nothing that is missing makes it fail. */
export async function gatherFacts(options: FactsOptions): Promise<Facts> {
  const { pinDirectory, objectFile, tryLoad } = options;
  const mountinfo = options.mountinfo ?? (await readFile('/proc/self/mountinfo', 'utf8'));
  const cgroupMount = cgroupMounts(mountinfo)[0]?.path;
  const cgroupRoot = cgroupMount === undefined ? undefined : resolveRoot(options.cgroupRoot, cgroupMount);
  const libbpf = findLibbpf();
  const digest = readDigest(objectFile);
  const capabilities = await effectiveCapabilities();
  const canEnterNamespaces = has(capabilities, sysAdminBit);
  const missingCapabilities = missingOf(capabilities);
  const pinsOnBpffs = await isOn(bpffsMagic, pinDirectory);
  const uid = getuid?.() ?? -1;
  const pinRefusal = uid === 0 && pinsOnBpffs ? await refusalOf(pinDirectory) : undefined;
  const canPin = pinsOnBpffs && pinRefusal === undefined;
  const isPrivileged = uid === 0 && missingCapabilities.length === 0;
  const bpfRefusal = isPrivileged && 'version' in libbpf ? refusalOfBpf() : undefined;
  const canLoad = tryLoad && isPrivileged && canPin && digest !== undefined && cgroupMount !== undefined;
  return {
    uid,
    missingCapabilities,
    canEnterNamespaces,
    bpfRefusal,
    release: release(),
    lockedMemoryBound: await lockedMemoryBound(),
    cgroupMount,
    cgroupRoot,
    cgroupRootIsCgroup2: cgroupRoot !== undefined && (await typeOf(cgroupRoot)) === cgroup2Magic,
    netControllers: ['net_cls', 'net_prio'].filter((name) => hasV1Controller(mountinfo, name)),
    podsOnV1: cgroupMount === undefined ? undefined : await findPodsOnV1(mountinfo, cgroupMount),
    pinDirectory,
    pinsOnBpffs,
    pinRefusal,
    libbpf,
    objectFile,
    digest,
    load:
      canLoad && 'version' in libbpf && bpfRefusal === undefined
        ? await tryKernel(options, canEnterNamespaces)
        : undefined,
  };
}

/** The directory that --cgroup-root means: as it is, or relative to the mount. */
export function resolveRoot(root: string | undefined, mount: string): string {
  if (root === undefined) return mount;
  return isAbsolute(root) && (root === mount || root.startsWith(`${mount}/`)) ? root : join(mount, root);
}

/** @param canEnter what is for network namespaces is tried in one of its own */
async function tryKernel(
  { marker, objectFile, pinDirectory }: FactsOptions,
  canEnter: boolean,
): Promise<Facts['load']> {
  try {
    const adopterError = tryInstall(objectFile, pinDirectory);
    const markError = canEnter ? marker.check() : undefined;
    const queueError = canEnter ? tryQueue() : undefined;
    return {
      release: release(),
      ...(adopterError !== undefined && { adopterError: adopterError.message }),
      ...(markError !== undefined && { markError: markError.message }),
      ...(queueError !== undefined && { queueError }),
    };
  } catch (error) {
    return { release: release(), error: error instanceof Error ? error.message : String(error) };
  }
}

async function refusalOf(pinDirectory: string): Promise<Facts['pinRefusal']> {
  const error = await probePins(pinDirectory);
  return error && { code: error.code ?? error.message, confinement: await readConfinement() };
}

function findLibbpf(): Facts['libbpf'] {
  try {
    return { version: loadLibrary().version };
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { problem: error.problem, ...(error.remedy !== undefined && { remedy: error.remedy }) };
  }
}

function refusalOfBpf(): string | undefined {
  try {
    probeMap();
    return undefined;
  } catch (error) {
    if (error instanceof BpfError) return error.problem;
    throw error;
  }
}

function readDigest(objectFile: string): string | undefined {
  try {
    return digestOf(objectFile);
  } catch {
    return undefined;
  }
}

async function effectiveCapabilities(): Promise<bigint> {
  const status = await readFile('/proc/self/status', 'utf8');
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

/** Whether a path, or the nearest directory above it that exists, is on a file system. */
async function isOn(magic: bigint, path: string): Promise<boolean> {
  for (let at = path; ; at = dirname(at)) {
    const type = await typeOf(at);
    if (type !== undefined) return type === magic;
    if (at === dirname(at)) return false;
  }
}

async function typeOf(path: string): Promise<bigint | undefined> {
  const found = await statfs(path, { bigint: true }).catch(() => undefined);
  return found?.type;
}
