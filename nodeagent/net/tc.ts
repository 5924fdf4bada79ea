/**
 * Queueing disciplines, classes and filters of network devices: what tc does, through rtnetlink. Handles, classes and
 * parents are numbers as the kernel has them: 0x70640010 is tc's `7064:10`. All functions throw NetlinkError.
 */
import { little } from '../libbpf/native.ts';
import { attribute, attributeOf, create, cString, type Netlink, textOf, u32 } from './netlink.ts';

/** Where something is. */
export interface Place {
  /** The device's. */
  readonly index: number;
  readonly parent: number;
  readonly handle?: number;
  /** Of a filter: those of lower preference run before. */
  readonly preference?: number;
}

/** A queueing discipline. */
export interface Qdisc {
  readonly index: number;
  readonly kind: string;
  /** 0 where the kernel has chosen it. */
  readonly handle: number;
  /** The class above it, or {@link root}. */
  readonly parent: number;
}

/** A filter. */
export interface Filter {
  readonly preference: number;
  readonly handle: number;
  /** Of a BPF filter; 0 and empty for other kinds. */
  readonly classId: number;
  readonly name: string;
  /** The kernel's number of its program. */
  readonly programId: number;
}

/** A class of HTB. */
export interface HtbClass {
  /** What it is sure of, and what it may take at most, in bytes per second. */
  readonly rate: number;
  readonly ceil: number;
  /** Bytes that may leave at once after idle. */
  readonly burst: number;
  /** Bytes in its turn. */
  readonly quantum: number;
  readonly priority: number;
}

/** The parent of a device's root queueing discipline. */
export const root = 0xffff_ffff;
/** The place for filters on what a device receives and sends, and its parent. */
export const clsact = { handle: 0xffff_0000, parent: 0xffff_fff1, ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;

// Numbers of include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls,if_ether}.h.
const qdiscMessages = { put: 36, remove: 37, list: 38 };
const putClassMessage = 40;
const filterMessages = { put: 44, remove: 45, list: 46 };
const [kindAttribute, optionsAttribute] = [1, 2];
const htb = { parameters: 1, init: 2, rate64: 6, ceil64: 7, version: 3, rateToQuantum: 10 };
const bpf = { classId: 3, program: 6, name: 7, flags: 8, id: 11, directAction: 1 };
const allProtocols = little ? 0x0300 : 0x0003;
const messageBytes = 20;
/** The kernel then needs no table of the times that packets take: TC_LINKLAYER_ETHERNET. */
const ethernet = 1;
/** The kernel counts bursts in these, in seconds. */
const tick = 64e-9;
const most32 = 2 ** 32 - 1;

/** Lists the queueing disciplines of all devices. */
export function listQdiscs(netlink: Netlink): Qdisc[] {
  return netlink.dump(qdiscMessages.list, message({ index: 0, parent: 0 })).map((body) => ({
    index: body.getInt32(4, little),
    kind: textOf(attributeOf(body, kindAttribute, messageBytes)),
    handle: body.getUint32(8, little),
    parent: body.getUint32(12, little),
  }));
}

/** Lists the filters of a parent. */
export function listFilters(netlink: Netlink, place: Place): Filter[] {
  return netlink.dump(filterMessages.list, message(place)).flatMap((body) => {
    const found = (type: number) => attributeOf(body, type, messageBytes);
    const [options, handle] = [found(optionsAttribute), body.getUint32(8, little)];
    // The kernel lists each preference too.
    if (options === undefined || handle === 0) return [];
    const own = textOf(found(kindAttribute)) === 'bpf' ? options : undefined;
    const number = (type: number) => attributeOf(own, type)?.getUint32(0, little) ?? 0;
    const preference = body.getUint32(16, little) >>> 16;
    return [
      {
        preference,
        handle,
        classId: number(bpf.classId),
        programId: number(bpf.id),
        name: textOf(attributeOf(own, bpf.name)),
      },
    ];
  });
}

/** Makes a root queueing discipline of HTB. @param defaultClass the minor number */
export function createHtb(netlink: Netlink, place: Place, defaultClass: number): void {
  const init = attribute(htb.init, u32(htb.version, htb.rateToQuantum, defaultClass, 0, 0));
  netlink.change(qdiscMessages.put, create.new, message(place, 'htb', init));
}

/** Makes or changes a class of HTB. */
export function putClass(netlink: Netlink, place: Place, { rate, ceil, burst, quantum, priority }: HtbClass): void {
  const spec = (bytes: number) => [...Uint8Array.of(0, ethernet, 0, 0, 0, 0, 0, 0), ...u32(Math.min(bytes, most32))];
  const ticks = (bytes: number) => Math.floor(burst / bytes / tick);
  const parameters = [...spec(rate), ...spec(ceil), ...u32(ticks(rate), ticks(ceil), quantum, 0, priority)];
  const wide = (type: number, bytes: number) =>
    bytes > most32 ? [attribute(type, new Uint8Array(BigUint64Array.of(BigInt(bytes)).buffer))] : [];
  const options = [
    attribute(htb.parameters, Uint8Array.from(parameters)),
    ...wide(htb.rate64, rate),
    ...wide(htb.ceil64, ceil),
  ];
  netlink.change(putClassMessage, create.orChange, message(place, 'htb', ...options));
}

/** Makes a bfifo, or gives it another limit. @param limit in bytes */
export function putBfifo(netlink: Netlink, place: Place, limit: number): void {
  netlink.change(qdiscMessages.put, create.orReplace, message(place, 'bfifo', u32(limit)));
}

/** Makes the place for filters on both ways of a device. */
export function createClsact(netlink: Netlink, index: number): void {
  netlink.change(qdiscMessages.put, create.new, message({ index, ...clsact }, 'clsact'));
}

/** Removes a queueing discipline, with all below it, if it has the handle that is given. */
export function removeQdisc(netlink: Netlink, place: Place): void {
  netlink.change(qdiscMessages.remove, 0, message(place));
}

/** Makes or replaces a BPF filter. @param program its file descriptor */
export function putFilter(
  netlink: Netlink,
  place: Place,
  { classId, name, program }: Pick<Filter, 'classId' | 'name'> & { readonly program: number },
): void {
  const options = [
    attribute(bpf.classId, u32(classId)),
    attribute(bpf.program, u32(program)),
    attribute(bpf.name, cString(name)),
    attribute(bpf.flags, u32(bpf.directAction)),
  ];
  netlink.change(filterMessages.put, create.orChange, message(place, 'bpf', ...options));
}

/** Removes a BPF filter. */
export function removeFilter(netlink: Netlink, place: Place): void {
  netlink.change(filterMessages.remove, 0, message(place, 'bpf'));
}

/** Encodes a struct tcmsg with its attributes. */
function message(
  { index, parent, handle = 0, preference }: Place,
  kind?: string,
  ...options: Uint8Array[]
): Uint8Array {
  const information = preference === undefined ? 0 : ((preference << 16) | allProtocols) >>> 0;
  const attributes = kind === undefined ? [] : [attribute(kindAttribute, cString(kind))];
  if (options.length > 0) attributes.push(attribute(optionsAttribute, ...options));
  const fixed = u32(0, index, handle, parent, information);
  return Uint8Array.from([...fixed, ...attributes.flatMap((one) => [...one])]);
}
