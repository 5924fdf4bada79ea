/** Marks what network namespaces, or cgroups in them, send: the program bpf/dscp.bpf.c as a filter on the namespaces' devices. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pin } from '../libbpf/call.ts';
import { BpfError } from '../libbpf/error.ts';
import { mapOf } from '../libbpf/map.ts';
import { loadObject } from '../libbpf/object.ts';
import { isProgramLoaded } from '../libbpf/program.ts';
import { TcError } from '../net/iproute.ts';
import { encodeU32, encodeU64 } from '../shaper/layout.ts';
import type { MarkFilters } from './filters.ts';
import { handleOf, planMarks, wholeNamespace } from './plan.ts';
import { type Device, type Mark, markProgram } from './tc-output.ts';

/** The object of the marking program, beside the shaper's. */
export function markObject(shaperObject: string): string {
  return join(dirname(shaperObject), 'dscp.bpf.o');
}

/** What is in a network namespace. */
export interface NamespaceLook {
  readonly devices: readonly Device[];
  readonly marks: readonly Mark[];
}

/** What should be marked in a namespace. */
export interface Marking {
  /** The cgroup whose sockets' packets are marked; undefined for all that the namespace sends. */
  readonly cgroupId?: bigint;
  /** Undefined for no marking. */
  readonly dscp: number | undefined;
}

/** The verbs of a marker. Namespaces are given by a file such as /run/netns/NAME. Nothing is kept but the filters themselves. */
export interface Marker {
  /** Reads what is there. @returns undefined if the namespace has vanished @throws TcError */
  look(namespace: string): Promise<NamespaceLook | undefined>;
  /**
   * Makes a namespace agree with a marking.
   * @returns how many devices were changed
   * @throws TcError, BpfError
   */
  apply(namespace: string, look: NamespaceLook, marking: Marking): Promise<number>;
  /** Takes all marks off a namespace. @throws TcError */
  clear(namespace: string): Promise<void>;
  /** Tries what marking needs, without marking anything. @returns why packets cannot be marked, if so */
  check(): Promise<Error | undefined>;
  /** Whether the program is anywhere on this machine: if not, no namespace needs to be looked at. @throws BpfError */
  isUsed(): Promise<boolean>;
}

/** Builds the marker. */
export function createMarker(options: {
  readonly filters: MarkFilters;
  /** Path of the compiled object, dscp.bpf.o. */
  readonly objectFile: string;
  /** Directory in a BPF file system, where the program is pinned while tc takes it. */
  readonly pinDirectory: string;
}): Marker {
  const { filters, objectFile, pinDirectory } = options;
  let version: number | undefined;
  const objectVersion = async () => {
    version ??= versionOf(await readFile(objectFile));
    return version;
  };

  const withProgram = async (cgroupId: bigint, use: (program: string) => Promise<void>) => {
    const loading = join(pinDirectory, `loading_dscp_${process.pid}_${process.hrtime.bigint()}`);
    await mkdir(loading, { recursive: true, mode: 0o700 });
    try {
      const file = join(loading, 'program');
      pinProgram(objectFile, file, cgroupId);
      await use(file);
    } finally {
      await rm(loading, { recursive: true, force: true });
    }
  };

  const look: Marker['look'] = async (namespace) => {
    try {
      const devices = await filters.devices(namespace);
      return { devices, marks: await filters.marks(namespace, devices) };
    } catch (error) {
      if (error instanceof TcError && error.code === 'tc/gone') return undefined;
      throw error;
    }
  };

  return {
    look,

    async apply(namespace, { devices, marks }, { cgroupId, dscp }) {
      const handle = cgroupId === undefined ? wholeNamespace : handleOf(cgroupId);
      const steps = planMarks(devices, marks, { handle, dscp, version: await objectVersion() });
      for (const { mark } of steps.filter(({ kind }) => kind === 'remove')) await filters.remove(namespace, mark);
      const set = steps.filter(({ kind }) => kind === 'set');
      if (set.length > 0) {
        await withProgram(cgroupId ?? 0n, async (program) => {
          for (const { mark } of set) await filters.set(namespace, mark, program);
        });
      }
      return steps.length;
    },

    async clear(namespace) {
      for (const mark of (await look(namespace))?.marks ?? []) await filters.remove(namespace, mark);
    },

    async check() {
      try {
        await filters.check();
        await withProgram(0n, async () => {});
        await rmdir(pinDirectory).catch(() => undefined);
        return undefined;
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error));
      }
    },

    async isUsed() {
      try {
        return isProgramLoaded(markProgram);
      } catch (error) {
        // Nobody marks who cannot enter a namespace, which takes CAP_SYS_ADMIN too.
        if (error instanceof BpfError && error.errno === 'EPERM') return false;
        throw error;
      }
    },
  };
}

/** Loads the program and pins it. @param cgroupId the cgroup whose packets are marked; 0 for all */
function pinProgram(objectFile: string, file: string, cgroupId: bigint): void {
  const object = loadObject(objectFile, () => undefined);
  try {
    const program = object.programs.get(markProgram);
    const map = object.maps.get('marked');
    if (program === undefined || map === undefined) throw new BpfError('bpf/object', `${objectFile} is another object`);
    mapOf(map, 'the map marked').update(encodeU32(0), encodeU64(cgroupId));
    pin(program, file);
  } finally {
    object.close();
  }
}

/** Tells objects apart in the 16 bits that a filter has room for; 0 and 65535 mean something else to tc. */
function versionOf(object: Uint8Array): number {
  return 1 + (createHash('sha256').update(object).digest().readUInt16BE() % 0xfffe);
}
