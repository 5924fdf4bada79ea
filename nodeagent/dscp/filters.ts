/** What is marked with a code point, in the kernel's filters: read and changed through here only. */
import { withDescriptor } from '../libbpf/call.ts';
import { openProgram, programName } from '../libbpf/program.ts';
import { listAddresses, listLinks } from '../net/links.ts';
import { NetlinkError, withNetlink } from '../net/netlink.ts';
import { clsact, createTc, type Tc } from '../net/tc.ts';
import type { Device, Mark } from './plan.ts';

/** The marking program: bpf/dscp.bpf.c. */
export const markProgram = 'podrate_dscp';

/** More devices than this in one namespace are nobody's pod, but somebody's attempt to keep the agent busy. */
const mostDevices = 64;
/** Filters of lower preference run before. Low, so that what a pod's own filters look at is marked already. */
const preference = 46;

/**
 * Lists all devices of a network namespace but the loopback.
 * @param namespace a file such as /run/netns/NAME or /proc/PID/ns/net
 * @throws NetlinkError, NamespaceGoneError
 */
export function devicesIn(namespace: string): Device[] {
  return withNetlink(namespace, (netlink) => {
    const links = listLinks(netlink).filter(({ isLoopback }) => !isLoopback);
    if (links.length > mostDevices) {
      throw new Error(`${links.length} network devices are more than the ${mostDevices} that are marked at most`);
    }
    const addresses = Map.groupBy(listAddresses(netlink), ({ index }) => index);
    return links.map(({ index, name, isUp, isEthernet }) => ({
      name,
      isUp,
      linkHeader: isEthernet ? 14 : 0,
      addresses: (addresses.get(index) ?? []).map(({ text }) => text),
    }));
  });
}

/** Lists the marks on the devices of a namespace. @throws NetlinkError, NamespaceGoneError, BpfError */
export function marksIn(namespace: string): Mark[] {
  const tc = createTc(namespace);
  return [...tc.filters([...placesIn(tc)], clsact.egress)].flatMap(([device, filters]) =>
    filters.flatMap(({ handle, classId, programId }) =>
      isMarkProgram(programId) ? [{ device, handle, classId }] : [],
    ),
  );
}

/**
 * Puts a mark on its device, in place of one with the same handle.
 * @param program its file descriptor
 * @throws NetlinkError, NamespaceGoneError
 */
export function setMark(namespace: string, { device, handle, classId }: Mark, program: number): void {
  const tc = createTc(namespace);
  if (!placesIn(tc).has(device)) tc.change([{ put: 'clsact', device, parent: clsact.parent }]);
  tc.change([{ put: 'filter', device, parent: clsact.egress, preference, handle, classId, program }]);
}

/**
 * Takes a mark off, and the place for filters where no other is left. One that is gone is no error.
 * @throws NetlinkError, NamespaceGoneError
 */
export function removeMark(namespace: string, { device, handle }: Mark): void {
  const tc = createTc(namespace);
  unlessGone(() => tc.change([{ remove: 'filter', device, parent: clsact.egress, preference, handle }]));
  if (!placesIn(tc).has(device)) return;
  const left = [clsact.ingress, clsact.egress].flatMap((parent) => tc.filters([device], parent).get(device) ?? []);
  if (left.length === 0) unlessGone(() => tc.change([{ remove: 'qdisc', device, parent: clsact.parent }]));
}

/** Devices that have a place for filters like ours. */
function placesIn(tc: Tc): Set<string> {
  const places = tc.qdiscs().filter(({ kind }) => kind === 'clsact');
  return new Set(places.map(({ device }) => device));
}

/** To look a program up takes CAP_SYS_ADMIN, as to enter its namespace does. */
function isMarkProgram(id: number): boolean {
  const program = id === 0 ? undefined : openProgram(id);
  return program !== undefined && withDescriptor(program, programName) === markProgram;
}

/** What the kernel says of a filter, a place for filters, or a device that is not there. */
const isGone = /ENOENT|ENODEV|Parent Qdisc doesn't exist/;

/** The filter, its place or the device may have vanished meanwhile. */
function unlessGone(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!(error instanceof NetlinkError) || !isGone.test(error.message)) throw error;
  }
}
