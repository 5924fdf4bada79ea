/** Gathers what the preflight judges. */
import { readFile, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { getuid } from 'node:process';
import { type Bpftool, BpftoolError } from './bpftool.ts';
import { cgroupMounts } from './cgroup-mount.ts';
import { lockedMemoryBound } from './locked-memory.ts';
import type { Marker } from './marker.ts';
import { probePins } from './pin-probe.ts';
import { generationOf, type Pins } from './pins.ts';
import { tryQueue } from './queue-support.ts';
import { type Confinement, readConfinement } from './security-module.ts';

/** What is the case on this machine, without judgement. */
export interface Facts {
  readonly uid: number;
  readonly missingCapabilities: readonly string[];
  readonly release: string;
  /** How much memory BPF maps may take, in bytes; undefined where nothing bounds it. */
  readonly lockedMemoryBound: number | undefined;
  readonly cgroupMount: string | undefined;
  readonly cgroupRoot: string | undefined;
  readonly cgroupRootIsCgroup2: boolean;
  /** Mounted v1 controllers among net_cls and net_prio. */
  readonly netControllers: readonly string[];
  readonly pinDirectory: string;
  readonly pinsOnBpffs: boolean;
  /** Why no pin can be made, and what confines this process; undefined if pins can be made, or if that was not tried. */
  readonly pinRefusal: { readonly code: string; readonly confinement: Confinement | undefined } | undefined;
  readonly bpftool: { readonly version: string } | { readonly problem: string; readonly remedy?: string };
  readonly objectFile: string;
  readonly generation: string | undefined;
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
  readonly bpftool: Bpftool;
  readonly pins: Pins;
  readonly marker: Pick<Marker, 'check'>;
  /** Whether to load the real programs, beside those in force, and to remove them again. */
  readonly tryLoad: boolean;
  /** The mount table to read; /proc/self/mountinfo if undefined. */
  readonly mountinfo?: string | undefined;
}

// Magic numbers of include/uapi/linux/magic.h.
const bpffsMagic = 0xcafe4a11n;
const cgroup2Magic = 0x63677270n;
/** Bit numbers of include/uapi/linux/capability.h. SYS_ADMIN includes what BPF, NET_ADMIN and PERFMON allow here. */
const sysAdminBit = 21n;

/** Gathers the facts. Nothing that is missing makes it fail. */
export async function gatherFacts(options: FactsOptions): Promise<Facts> {
  const { pinDirectory, objectFile, bpftool, tryLoad } = options;
  const mountinfo = options.mountinfo ?? (await readFile('/proc/self/mountinfo', 'utf8'));
  const cgroupMount = cgroupMounts(mountinfo)[0]?.path;
  const cgroupRoot = cgroupMount === undefined ? undefined : resolveRoot(options.cgroupRoot, cgroupMount);
  const version = await bpftoolVersion(bpftool);
  const generation = await generationOf(objectFile).catch(() => undefined);
  const missingCapabilities = (await hasSysAdmin()) ? [] : ['CAP_SYS_ADMIN'];
  const pinsOnBpffs = await isOn(bpffsMagic, pinDirectory);
  const uid = getuid?.() ?? -1;
  const pinRefusal = uid === 0 && pinsOnBpffs ? await refusalOf(pinDirectory) : undefined;
  const canPin = pinsOnBpffs && pinRefusal === undefined;
  const canLoad = tryLoad && 'version' in version && generation !== undefined && cgroupMount !== undefined;
  return {
    uid,
    missingCapabilities,
    release: release(),
    lockedMemoryBound: await lockedMemoryBound(),
    cgroupMount,
    cgroupRoot,
    cgroupRootIsCgroup2: cgroupRoot !== undefined && (await typeOf(cgroupRoot)) === cgroup2Magic,
    netControllers: ['net_cls', 'net_prio'].filter((name) => hasV1Controller(mountinfo, name)),
    pinDirectory,
    pinsOnBpffs,
    pinRefusal,
    bpftool: version,
    objectFile,
    generation,
    load:
      canLoad && canPin && uid === 0 && missingCapabilities.length === 0
        ? await tryKernel(options, cgroupMount)
        : undefined,
  };
}

/** The directory that --cgroup-root means: as it is, or relative to the mount. */
export function resolveRoot(root: string | undefined, mount: string): string {
  if (root === undefined) return mount;
  return isAbsolute(root) && (root === mount || root.startsWith(`${mount}/`)) ? root : join(mount, root);
}

async function tryKernel(options: FactsOptions, mount: string): Promise<Facts['load']> {
  const { bpftool, pins, marker, objectFile } = options;
  try {
    const adopterError = await pins.tryLoad(objectFile);
    await bpftool.run(['cgroup', 'show', mount]);
    const markError = await marker.check();
    const queueError = await tryQueue();
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

async function bpftoolVersion(bpftool: Bpftool): Promise<Facts['bpftool']> {
  try {
    const output = (await bpftool.run(['version'])) as { version?: string } | null;
    return { version: output?.version ?? 'of an unknown version' };
  } catch (error) {
    if (error instanceof BpftoolError) {
      return { problem: error.problem, ...(error.remedy !== undefined && { remedy: error.remedy }) };
    }
    throw error;
  }
}

async function hasSysAdmin(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> sysAdminBit) & 1n) === 1n;
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
