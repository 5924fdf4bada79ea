/**
 * Marks what network namespaces, or cgroups in them, send: the program bpf/dscp.bpf.c as a filter on the namespaces'
 * devices.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BpfError } from '../libbpf/error.ts';
import { mapOf } from '../libbpf/map.ts';
import { type BpfObject, loadObject } from '../libbpf/object.ts';
import { isProgramLoaded } from '../libbpf/program.ts';
import { NamespaceGoneError } from '../net/netlink.ts';
import { encodeU32, encodeU64 } from '../shaper/layout.ts';
import { devicesIn, markProgram, marksIn, removeMark, setMark } from './filters.ts';
import { type Device, handleOf, type Mark, planMarks, wholeNamespace } from './plan.ts';

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

/**
 * The verbs of a marker. Namespaces are given by a file such as /run/netns/NAME. Nothing is kept but the filters
 * themselves.
 */
export interface Marker {
  /** Reads what is there. @returns undefined if the namespace has vanished @throws NetlinkError, BpfError */
  look(namespace: string): NamespaceLook | undefined;
  /**
   * Makes a namespace agree with a marking.
   * @returns how many devices were changed
   * @throws NetlinkError, NamespaceGoneError, BpfError
   */
  apply(namespace: string, look: NamespaceLook, marking: Marking): number;
  /** Takes all marks off a namespace. @throws NetlinkError, BpfError */
  clear(namespace: string): void;
  /** Tries what marking needs, without marking anything. @returns why packets cannot be marked, if so */
  check(): Error | undefined;
  /** Whether the program is anywhere on this machine: if not, no namespace needs to be looked at. @throws BpfError */
  isUsed(): boolean;
}

/** Builds the marker. @param objectFile path of the compiled object, dscp.bpf.o */
export function createMarker(objectFile: string): Marker {
  let version: number | undefined;
  const look: Marker['look'] = (namespace) => {
    try {
      return { devices: devicesIn(namespace), marks: marksIn(namespace) };
    } catch (error) {
      if (error instanceof NamespaceGoneError) return undefined;
      throw error;
    }
  };

  return {
    look,

    apply(namespace, { devices, marks }, { cgroupId, dscp }) {
      version ??= versionOf(readFileSync(objectFile));
      const handle = cgroupId === undefined ? wholeNamespace : handleOf(cgroupId);
      const steps = planMarks(devices, marks, { handle, dscp, version });
      for (const { mark } of steps.filter(({ kind }) => kind === 'remove')) removeMark(namespace, mark);
      const set = steps.filter(({ kind }) => kind === 'set');
      if (set.length > 0) {
        withProgram(objectFile, cgroupId ?? 0n, (program) => {
          for (const { mark } of set) setMark(namespace, mark, program);
        });
      }
      return steps.length;
    },

    clear(namespace) {
      for (const mark of look(namespace)?.marks ?? []) removeMark(namespace, mark);
    },

    check() {
      try {
        withProgram(objectFile, 0n, () => {});
        return undefined;
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error));
      }
    },

    isUsed() {
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

/**
 * Loads the program; what a filter has taken of it stays.
 * @param cgroupId the cgroup whose packets are marked; 0 for all
 * @param use gets its file descriptor
 */
function withProgram(objectFile: string, cgroupId: bigint, use: (program: number) => void): void {
  const object = loadObject(objectFile, () => undefined);
  try {
    use(programFor(object, objectFile, cgroupId));
  } finally {
    object.close();
  }
}

function programFor({ programs, maps }: BpfObject, objectFile: string, cgroupId: bigint): number {
  const program = programs.get(markProgram);
  const map = maps.get('podrate_marked');
  if (program === undefined || map === undefined) throw new BpfError('bpf/object', `${objectFile} is another object`);
  mapOf(map, 'the map podrate_marked').update(encodeU32(0), encodeU64(cgroupId));
  return program;
}

/** Tells objects apart in the 16 bits that a filter has room for; 0 and 65535 mean something else to tc. */
function versionOf(object: Uint8Array): number {
  return 1 + (createHash('sha256').update(object).digest().readUInt16BE() % 0xfffe);
}
