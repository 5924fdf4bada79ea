/**
 * The ingress queue of a pod: HTB on the host's end of the pod's device. One filter, the BPF classifier
 * of bpf/ingress/queue.h, chooses the class of each packet. docs/shaper.md has the reasons for the classes.
 */
import { root, type TcChange } from '../net/tc.ts';
import type { Classifier } from '../shaper/shaper.ts';

/** The handles of podrate's root queueing disciplines: the agent's on devices of pods, and the command line tool's. */
export const podHandle = '7064:';
export const manualHandle = '7065:';

/** A queue as it should be. */
export interface Queue {
  /** The limit, in bytes of IP packets per second. */
  readonly rate: number;
  /** The device's MTU, in bytes. */
  readonly mtu: number;
  /** The slot of the limit: the classifier reads the rate there. */
  readonly slot: number;
  readonly classifier: Classifier;
}

/** A class with packets in it. All of them may take the whole rate. */
interface LeafClass {
  /** The minor number, in hexadecimal digits. */
  readonly minor: string;
  /** The part of the rate that the class is sure of. */
  readonly part: number;
  /** A class is served before those of a higher number. */
  readonly priority: 0 | 1;
  /** Bytes that the class sends in its turn. */
  readonly quantum: number;
  /** How long its packets may wait at the whole rate, in ms. */
  readonly waitMs: number;
}

/** Ethernet's header, which tc counts and podrate does not, in bytes. */
const headerBytes = 14;
const frameBytes = 1500 + headerBytes;
/** What may leave at once after idle: this many bytes, or this time of the rate, in ms. */
const leastBurst = 32_768;
const burstMs = 10;
/** The largest GSO packet, which must fit into every leaf, in bytes. */
const largestPacket = 65_536;

/** The first kilobyte of a flow, flows that stay slow, TCP packets without payload, ARP. */
const first: LeafClass = { minor: '10', part: 1 / 8, priority: 0, quantum: 3 * frameBytes, waitMs: 25 };
/** What follows of a flow up to 16 KB. */
const young: LeafClass = { minor: '18', part: 1 / 8, priority: 1, quantum: 3 * frameBytes, waitMs: 100 };
/** What follows of a TCP flow. */
const bulk: LeafClass = { minor: '20', part: 1 / 2, priority: 1, quantum: 3 * frameBytes, waitMs: 25 };
/** What nothing slows down: further datagrams, floods. */
const other: LeafClass = { minor: '30', part: 1 / 4, priority: 1, quantum: frameBytes, waitMs: 25 };
const leafClasses: readonly LeafClass[] = [first, young, bulk, other];

/** The class that bounds the sum of the others. */
const innerMinor = '1';
/** The place of the classifier among the filters. */
export const filterPlace = { preference: 1, handle: 1 } as const;

/** The leaf of a class: where its packets wait. */
export interface Leaf {
  /** The class, such as `7064:10`. */
  readonly parent: string;
  /** Such as `8064:`. */
  readonly handle: string;
  /** Bytes that fit in. */
  readonly limit: number;
}

/**
 * Returns the rate of the queue, in bytes per second of Ethernet frames. Full-sized packets pass at the limit as podrate
 * counts it and never faster, so the limit has nothing left to drop.
 */
export function linkRate({ rate, mtu }: Pick<Queue, 'rate' | 'mtu'>): number {
  return Math.floor((rate * (mtu + headerBytes)) / mtu);
}

/** Returns the leaves of a queue under a handle, in the order of their classes. */
export function leavesOf(handle: string, queue: Pick<Queue, 'rate' | 'mtu'>): readonly Leaf[] {
  const base = Number.parseInt(handle, 16);
  return leafClasses.map(({ minor, waitMs }) => ({
    parent: `${handle}${minor}`,
    handle: `${(base + Number.parseInt(minor, 16) * 256).toString(16)}:`,
    limit: Math.round((linkRate(queue) * waitMs) / 1000) + largestPacket,
  }));
}

/** Returns the class id of the classifier's filter, whose minor number is the slot, such as `7064:1f`. */
export function filterClassId(handle: string, slot: number): string {
  return `${handle}${slot.toString(16)}`;
}

/** Returns the changes that install the queue. The filter comes last: where it is, everything is. */
export function installQueue(device: string, handle: string, queue: Queue): TcChange[] {
  return [
    { put: 'htb', device, parent: root, handle, defaultClass: other.minor },
    ...classes(device, handle, queue),
    ...leaves(device, handle, queue),
    filter(device, handle, queue),
  ];
}

/**
 * Returns the changes that bring a whole queue to another rate, slot or classifier. Packets that wait in it stay. The
 * limit of the first leaf is changed before any class, those of the other leaves after all classes: where all limits
 * belong to one rate, the classes do too, wherever a process was killed.
 */
export function changeQueue(device: string, handle: string, queue: Queue): TcChange[] {
  const [first, ...others] = leaves(device, handle, queue);
  const before = first === undefined ? [] : [first];
  return [...before, ...classes(device, handle, queue), ...others, filter(device, handle, queue)];
}

/** Returns the changes that remove the queue. */
export function removeQueue(device: string): TcChange[] {
  return [{ remove: 'qdisc', device, parent: root }];
}

function classes(device: string, handle: string, queue: Queue): TcChange[] {
  const ceil = linkRate(queue);
  const burst = Math.max(leastBurst, Math.round((ceil * burstMs) / 1000));
  const inner = `${handle}${innerMinor}`;
  return [
    // Without a quantum the kernel warns, though an inner class does not use one.
    { put: 'class', device, parent: handle, handle: inner, rate: ceil, ceil, burst, quantum: frameBytes, priority: 0 },
    ...leafClasses.map(({ minor, part, priority, quantum }): TcChange => {
      const rate = Math.max(1, Math.floor(ceil * part));
      return { put: 'class', device, parent: inner, handle: `${handle}${minor}`, rate, ceil, burst, quantum, priority };
    }),
  ];
}

function leaves(device: string, handle: string, queue: Queue): TcChange[] {
  return leavesOf(handle, queue).map((leaf) => ({ put: 'bfifo', device, ...leaf }));
}

function filter(device: string, handle: string, { slot, classifier }: Queue): TcChange {
  const classId = filterClassId(handle, slot);
  return { put: 'filter', device, parent: handle, ...filterPlace, classId, program: classifier.file };
}
