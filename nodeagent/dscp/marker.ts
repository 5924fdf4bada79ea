/**
 * Marks what network namespaces, or cgroups in them, send: the program bpf/dscp.bpf.c as a filter on the namespaces'
 * devices. Namespaces are given by a file such as /run/netns/NAME. Nothing is kept but the filters themselves.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorOf } from '../base/errors.ts';
import { BpfError } from '../libbpf/error.ts';
import { mapOf } from '../libbpf/map.ts';
import { loadObject } from '../libbpf/object.ts';
import { isProgramLoaded } from '../libbpf/program.ts';
import { listAddresses, listLinks } from '../net/links.ts';
import type { NetworkNamespace } from '../net/namespaces.ts';
import { type Netlink, NetlinkError, withNetlink } from '../net/netlink.ts';
import { clsact, createClsact, listFilters, listQdiscs, putFilter, removeFilter, removeQdisc } from '../net/tc.ts';
import { encodeU32, encodeU64 } from '../shaper/layout.ts';
import { type Device, handleOf, type Mark, planMarks, wholeNamespace } from './plan.ts';

/** The marking program, and the name of its filters. */
export const markProgram = 'podrate_dscp';

/** More devices than this in one namespace are nobody's pod, but somebody's attempt to keep the agent busy. */
const mostDevices = 64;
/** Filters of lower preference run before. Low, so that what a pod's own filters look at is marked already. */
const preference = 46;

/** What is in a network namespace: its devices but the loopback, and marks on them. */
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

/** Marks what namespaces send. */
export type Marker = ReturnType<typeof createMarker>;

/**
 * Builds the marker. Its verbs throw NetlinkError and BpfError; a namespace that has vanished is no error.
 * @param shaperObject path of the shaper's object; dscp.bpf.o is beside it
 */
export function createMarker(shaperObject: string) {
  const objectFile = join(dirname(shaperObject), 'dscp.bpf.o');
  let version: number | undefined;
  const clear = (namespace: string) =>
    void withNetlink(namespace, (netlink) => {
      for (const mark of lookWith(netlink).marks) removeMark(netlink, mark);
    });

  return {
    /** Reads what is there. @returns undefined if the namespace has vanished */
    look: (namespace: string): NamespaceLook | undefined => withNetlink(namespace, lookWith),

    /** Makes a namespace agree with a marking. */
    apply(namespace: string, { devices, marks }: NamespaceLook, { cgroupId, dscp }: Marking): void {
      version ??= versionOf(readFileSync(objectFile));
      const handle = cgroupId === undefined ? wholeNamespace : handleOf(cgroupId);
      const { set, remove } = planMarks(devices, marks, { handle, dscp, version });
      if (set.length + remove.length === 0) return;
      withNetlink(namespace, (netlink) => {
        for (const mark of remove) removeMark(netlink, mark);
        if (set.length === 0) return;
        withProgram(objectFile, cgroupId ?? 0n, (program) => {
          for (const mark of set) setMark(netlink, mark, program);
        });
      });
    },

    /** Takes all marks off namespaces. @returns what went wrong, one error for each namespace */
    clearAll(namespaces: readonly NetworkNamespace[]): Error[] {
      return namespaces.flatMap(({ file }) => errorOf(() => clear(file)) ?? []);
    },

    /** Tries what marking needs, without marking anything. @returns why packets cannot be marked, if so */
    check: (): Error | undefined => errorOf(() => withProgram(objectFile, 0n, () => {})),

    /** Reports whether the program is anywhere on this machine: if not, no namespace needs to be looked at. */
    isUsed(): boolean {
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

function lookWith(netlink: Netlink): NamespaceLook {
  const links = listLinks(netlink).filter(({ isLoopback }) => !isLoopback);
  if (links.length > mostDevices) {
    throw new Error(`${links.length} network devices are more than the ${mostDevices} that are marked at most`);
  }
  const addresses = Map.groupBy(listAddresses(netlink), ({ index }) => index);
  const devices = links.map(({ index, isUp, isEthernet }) => ({
    index,
    isUp,
    linkHeader: isEthernet ? 14 : 0,
    addresses: (addresses.get(index) ?? []).map(({ text }) => text),
  }));
  const marks = [...placesIn(netlink)].flatMap((index) =>
    listFilters(netlink, { index, parent: clsact.egress }).flatMap(({ name, handle, classId }) =>
      name === markProgram ? [{ index, handle, classId }] : [],
    ),
  );
  return { devices, marks };
}

/** Puts a mark on its device, in place of one with the same handle. */
function setMark(netlink: Netlink, { index, handle, classId }: Mark, program: number): void {
  if (!placesIn(netlink).has(index)) createClsact(netlink, index);
  const place = { index, parent: clsact.egress, preference, handle };
  putFilter(netlink, place, { classId, name: markProgram, program });
}

/**
 * Takes a mark off, and the place for filters where no other is left. One that is gone is no error.
 * @throws NetlinkError
 */
export function removeMark(netlink: Netlink, { index, handle }: Mark): void {
  unlessGone(() => removeFilter(netlink, { index, parent: clsact.egress, preference, handle }));
  if (!placesIn(netlink).has(index)) return;
  const left = [clsact.ingress, clsact.egress].flatMap((parent) => listFilters(netlink, { index, parent }));
  if (left.length === 0) unlessGone(() => removeQdisc(netlink, { index, parent: clsact.parent }));
}

/** The indexes of devices that have a place for filters like ours. */
function placesIn(netlink: Netlink): Set<number> {
  const places = listQdiscs(netlink).filter(({ kind }) => kind === 'clsact');
  return new Set(places.map(({ index }) => index));
}

/** The filter, its place or the device may have vanished meanwhile. */
function unlessGone(change: () => void): void {
  const error = errorOf(change);
  const isGone = error instanceof NetlinkError && /ENOENT|ENODEV|Parent Qdisc doesn't exist/.test(error.message);
  if (error !== undefined && !isGone) throw error;
}

/**
 * Loads the program; what a filter has taken of it stays.
 * @param cgroupId the cgroup whose packets are marked; 0 for all
 * @param use gets its file descriptor
 */
function withProgram(objectFile: string, cgroupId: bigint, use: (program: number) => void): void {
  const { programs, maps, close } = loadObject(objectFile, () => undefined);
  try {
    const [program, map] = [programs.get(markProgram), maps.get('podrate_marked')];
    if (program === undefined || map === undefined) throw new BpfError('bpf/object', `${objectFile} is another object`);
    mapOf(map, 'podrate_marked').update(encodeU32(0), encodeU64(cgroupId));
    use(program);
  } finally {
    close();
  }
}

/** Tells objects apart in the 16 bits that a filter has room for; 0 and 65535 mean something else to tc. */
function versionOf(object: Uint8Array): number {
  return 1 + (createHash('sha256').update(object).digest().readUInt16BE() % 0xfffe);
}
