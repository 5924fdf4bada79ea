/**
 * Queueing disciplines, classes and filters of network devices: what tc does, through rtnetlink. Handles, classes and
 * parents are texts as tc has them, such as `7064:10`.
 */
import { openPin, withDescriptor } from '../libbpf/call.ts';
import { little } from '../libbpf/native.ts';
import { indexOf, listLinks } from './links.ts';
import { attribute, attributesOf, create, cString, type Netlink, textOf, u32, withNetlink } from './netlink.ts';

/** A queueing discipline. */
export interface Qdisc {
  readonly device: string;
  readonly kind: string;
  /** `0:` where the kernel has chosen it. */
  readonly handle: string;
  /** The class above it, or {@link root}. */
  readonly parent: string;
  /** The limit of a bfifo, in bytes; 0 for other kinds. */
  readonly limit: number;
}

/** A filter. */
export interface Filter {
  readonly preference: number;
  readonly handle: number;
  readonly classId: string;
  /** The kernel's number of a BPF filter's program; 0 for other kinds. */
  readonly programId: number;
}

/** What is changed, and how. */
export type TcChange = { readonly device: string; readonly parent: string } & (
  | { readonly put: 'htb'; readonly handle: string; readonly defaultClass: string }
  | { readonly put: 'clsact' }
  | { readonly put: 'bfifo'; readonly handle: string; readonly limit: number }
  | ({ readonly put: 'class'; readonly handle: string } & HtbClass)
  // The program is given by its pin or its file descriptor.
  | ({ readonly put: 'filter'; readonly classId: string; readonly program: string | number } & FilterPlace)
  | { readonly remove: 'qdisc' }
  | ({ readonly remove: 'filter' } & FilterPlace)
);

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

/** Where a filter is among those of its parent. */
export interface FilterPlace {
  /** Filters of lower preference run before. */
  readonly preference: number;
  readonly handle: number;
}

/** What can be done in a network namespace. */
export interface Tc {
  /** Lists the queueing disciplines. @throws NetlinkError, NamespaceGoneError */
  qdiscs(): Qdisc[];
  /** Lists the filters of a parent on some devices; none of a device that has vanished. @throws NamespaceGoneError */
  filters(devices: readonly string[], parent: string): Map<string, Filter[]>;
  /** Does changes in order, up to the first that fails. @throws NetlinkError, NamespaceGoneError, BpfError */
  change(changes: readonly TcChange[]): void;
}

/** The parent of a device's root queueing discipline. */
export const root = 'ffff:ffff';
/** The place for filters on what a device receives and sends, and its parent. */
export const clsact = { parent: 'ffff:fff1', ingress: 'ffff:fff2', egress: 'ffff:fff3' } as const;

// Numbers of include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls,if_ether}.h.
const qdiscMessages = { put: 36, remove: 37, list: 38 };
const classMessages = { put: 40 };
const filterMessages = { put: 44, remove: 45, list: 46 };
const [kindAttribute, optionsAttribute] = [1, 2];
const htb = { parameters: 1, init: 2, rate64: 6, ceil64: 7, version: 3, rateToQuantum: 10 };
const bpf = { classId: 3, program: 6, flags: 8, id: 11, directAction: 1 };
const clsactHandle = 'ffff:';
const allProtocols = little ? 0x0300 : 0x0003;
const messageBytes = 20;
/** The kernel then needs no table of the times that packets take: TC_LINKLAYER_ETHERNET. */
const ethernet = 1;
/** The kernel counts bursts in these, in seconds. */
const tick = 64e-9;
const most32 = 2 ** 32 - 1;

/** Builds the verbs. @param namespace its file, which takes CAP_SYS_ADMIN; undefined: this process's own */
export function createTc(namespace?: string): Tc {
  return {
    qdiscs: () =>
      withNetlink(namespace, (netlink) => {
        const names = new Map(listLinks(netlink).map(({ index, name }) => [index, name]));
        return netlink.dump(qdiscMessages.list, message({})).flatMap((body) => qdiscOf(body, names));
      }),
    filters: (devices, parent) =>
      withNetlink(namespace, (netlink) => {
        const indexes = new Map(listLinks(netlink).map(({ index, name }) => [name, index]));
        return new Map(
          devices.map((device) => {
            const index = indexes.get(device) ?? 0;
            return [device, index === 0 ? [] : filtersOf(netlink, index, parent)];
          }),
        );
      }),
    change: (changes) =>
      withNetlink(namespace, (netlink) => {
        const indexes = new Map<string, number>();
        for (const change of changes) {
          const index = indexes.get(change.device) ?? indexOf(netlink, change.device);
          indexes.set(change.device, index);
          doChange(netlink, index, change);
        }
      }),
  };
}

function qdiscOf(body: DataView, names: ReadonlyMap<number, string>): Qdisc[] {
  const device = names.get(body.getInt32(4, little));
  const found = attributesOf(body, messageBytes);
  const kind = textOf(found.get(kindAttribute));
  const limit = kind === 'bfifo' ? (found.get(optionsAttribute)?.getUint32(0, little) ?? 0) : 0;
  const [handle, parent] = [handleText(body.getUint32(8, little)), handleText(body.getUint32(12, little))];
  return device === undefined ? [] : [{ device, kind, handle, parent, limit }];
}

function filtersOf(netlink: Netlink, index: number, parent: string): Filter[] {
  return netlink.dump(filterMessages.list, message({ index, parent })).flatMap((body) => {
    const found = attributesOf(body, messageBytes);
    const options = found.get(optionsAttribute);
    const handle = body.getUint32(8, little);
    // The kernel lists each preference too.
    if (options === undefined || handle === 0) return [];
    const isBpf = textOf(found.get(kindAttribute)) === 'bpf';
    const number = (type: number) => (isBpf ? attributesOf(options).get(type)?.getUint32(0, little) : undefined) ?? 0;
    const [classId, programId] = [handleText(number(bpf.classId)), number(bpf.id)];
    return [{ preference: body.getUint32(16, little) >>> 16, handle, classId, programId }];
  });
}

function doChange(netlink: Netlink, index: number, change: TcChange): void {
  if ('remove' in change) {
    if (change.remove === 'qdisc') netlink.change(qdiscMessages.remove, 0, message({ index, parent: change.parent }));
    else netlink.change(filterMessages.remove, 0, message({ index, ...change }, 'bpf'));
    return;
  }
  switch (change.put) {
    case 'htb': {
      const init = u32(htb.version, htb.rateToQuantum, handleNumber(`:${change.defaultClass}`), 0, 0);
      const body = message({ index, ...change }, 'htb', attribute(htb.init, init));
      netlink.change(qdiscMessages.put, create.new, body);
      break;
    }
    case 'clsact':
      netlink.change(qdiscMessages.put, create.new, message({ index, ...change, handle: clsactHandle }, 'clsact'));
      break;
    case 'bfifo':
      netlink.change(qdiscMessages.put, create.orReplace, message({ index, ...change }, 'bfifo', u32(change.limit)));
      break;
    case 'class':
      netlink.change(classMessages.put, create.orChange, message({ index, ...change }, 'htb', ...classOptions(change)));
      break;
    case 'filter':
      withProgram(change.program, (program) => {
        const options = [
          attribute(bpf.classId, u32(handleNumber(change.classId))),
          attribute(bpf.program, u32(program)),
          attribute(bpf.flags, u32(bpf.directAction)),
        ];
        netlink.change(filterMessages.put, create.orChange, message({ index, ...change }, 'bpf', ...options));
      });
      break;
  }
}

function withProgram(program: string | number, use: (descriptor: number) => void): void {
  if (typeof program === 'number') use(program);
  else withDescriptor(openPin(program), use);
}

function classOptions({ rate, ceil, burst, quantum, priority }: HtbClass): Uint8Array[] {
  const spec = (bytes: number) => [...Uint8Array.of(0, ethernet, 0, 0, 0, 0, 0, 0), ...u32(Math.min(bytes, most32))];
  const ticks = (bytes: number) => Math.floor(burst / bytes / tick);
  const parameters = [...spec(rate), ...spec(ceil), ...u32(ticks(rate), ticks(ceil), quantum, 0, priority)];
  const wide = (type: number, bytes: number) =>
    bytes > most32 ? [attribute(type, new Uint8Array(BigUint64Array.of(BigInt(bytes)).buffer))] : [];
  return [attribute(htb.parameters, Uint8Array.from(parameters)), ...wide(htb.rate64, rate), ...wide(htb.ceil64, ceil)];
}

/** Encodes a struct tcmsg with its attributes. */
function message(
  at: { index?: number; parent?: string; handle?: string | number; preference?: number },
  kind?: string,
  ...options: readonly Uint8Array[]
): Uint8Array {
  const { index = 0, parent = ':', handle = 0, preference } = at;
  const number = typeof handle === 'number' ? handle : handleNumber(handle);
  const information = preference === undefined ? 0 : ((preference << 16) | allProtocols) >>> 0;
  const attributes = kind === undefined ? [] : [attribute(kindAttribute, cString(kind))];
  if (options.length > 0) attributes.push(attribute(optionsAttribute, ...options));
  return Uint8Array.from([
    ...u32(0, index, number, handleNumber(parent), information),
    ...attributes.flatMap((one) => [...one]),
  ]);
}

function handleNumber(text: string): number {
  const [major, minor] = text.split(':').map((digits) => Number.parseInt(digits || '0', 16));
  return (((major ?? 0) << 16) | (minor ?? 0)) >>> 0;
}

function handleText(handle: number): string {
  const minor = handle & 0xffff;
  return `${(handle >>> 16).toString(16)}:${minor === 0 ? '' : minor.toString(16)}`;
}
