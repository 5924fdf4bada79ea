/**
 * The ingress queue of a pod: HTB on the host's end of the pod's device. One filter, the BPF classifier
 * of bpf/ingress/queue.h, chooses the class of each packet. docs/shaper.md has the reasons for the classes.
 */
import { openPin, withDescriptor } from '../libbpf/call.ts';
import type { Netlink } from '../net/netlink.ts';
import { createHtb, type Filter, type HtbClass, putBfifo, putClass, putFilter, removeQdisc, root } from '../net/tc.ts';
import type { Classifier } from '../shaper/shaper.ts';

/** The handles of podrate's root queueing disciplines: the agent's on devices of pods, and the command line tool's. */
export const podHandle = 0x7064_0000;
export const manualHandle = 0x7065_0000;

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
  readonly minor: number;
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
const first: LeafClass = { minor: 0x10, part: 1 / 8, priority: 0, quantum: 3 * frameBytes, waitMs: 25 };
/** What follows of a flow up to 16 KB. */
const young: LeafClass = { minor: 0x18, part: 1 / 8, priority: 1, quantum: 3 * frameBytes, waitMs: 100 };
/** What follows of a TCP flow. */
const bulk: LeafClass = { minor: 0x20, part: 1 / 2, priority: 1, quantum: 3 * frameBytes, waitMs: 25 };
/** What nothing slows down: further datagrams, floods. */
const other: LeafClass = { minor: 0x30, part: 1 / 4, priority: 1, quantum: frameBytes, waitMs: 25 };

/** The class that bounds the sum of the others. */
const innerMinor = 1;
/** The place of the classifier among the filters. */
const filterPlace = { preference: 1, handle: 1 } as const;
/** Another number for any change of the classes. */
const version = 1;

/** Returns the classes of a queue, the one that bounds the sum first; the others have a leaf with a limit in bytes. */
export function classesOf({ rate, mtu }: Pick<Queue, 'rate' | 'mtu'>): (HtbClass & { minor: number; limit: number })[] {
  // Ethernet frames. Full-sized packets pass at the limit as podrate counts it and never faster, so the limit has
  // nothing left to drop.
  const ceil = Math.floor((rate * (mtu + headerBytes)) / mtu);
  const burst = Math.max(leastBurst, Math.round((ceil * burstMs) / 1000));
  // Without a quantum the kernel warns, though an inner class does not use one.
  const inner = { minor: innerMinor, rate: ceil, ceil, burst, quantum: frameBytes, priority: 0, limit: 0 };
  const leaves = [first, young, bulk, other].map(({ minor, part, priority, quantum, waitMs }) => {
    const limit = Math.round((ceil * waitMs) / 1000) + largestPacket;
    return { minor, rate: Math.max(1, Math.floor(ceil * part)), ceil, burst, quantum, priority, limit };
  });
  return [inner, ...leaves];
}

/** Reports whether a filter is that of a queue that is whole and as it should be. */
export function isFilterOf({ programId, classId, name }: Filter, handle: number, queue: Queue): boolean {
  return programId === queue.classifier.id && classId === handle + queue.slot && name === nameOf(queue);
}

/** The filter is put last: its name says what everything else is like. */
function nameOf({ rate, mtu }: Queue): string {
  return `podrate_${version}_rate_${rate}_mtu_${mtu}`;
}

/**
 * Makes a queue, or brings one to another rate, slot or classifier; packets that wait in it stay. Where it fails nothing
 * of the queue is left: half of one would let everything pass.
 * @param isThere whether there is one under the handle, whole or not
 * @throws NetlinkError, BpfError
 */
export function putQueue(netlink: Netlink, index: number, handle: number, queue: Queue, isThere: boolean): void {
  const filter = (name: string) =>
    withDescriptor(openPin(queue.classifier.file), (program) =>
      putFilter(netlink, { index, parent: handle, ...filterPlace }, { classId: handle + queue.slot, name, program }),
    );
  try {
    if (isThere) filter('unfinished');
    else createHtb(netlink, { index, parent: root, handle }, other.minor);
    for (const { minor, limit, ...one } of classesOf(queue)) {
      const parent = minor === innerMinor ? handle : handle + innerMinor;
      putClass(netlink, { index, parent, handle: handle + minor }, one);
      // Its own handle, such as 8064:, is its class's.
      if (limit > 0) putBfifo(netlink, { index, parent: handle + minor, handle: handle + minor * 0x100_0000 }, limit);
    }
    filter(nameOf(queue));
  } catch (error) {
    try {
      removeQueue(netlink, index, handle);
    } catch {
      // The device has gone, or another program has installed its own.
      throw error;
    }
    if (!isThere) throw error;
    // An earlier version, or another program, has left classes or filters that were in the way.
    putQueue(netlink, index, handle, queue, false);
  }
}

/** Removes a queue. @throws NetlinkError */
export function removeQueue(netlink: Netlink, index: number, handle: number): void {
  removeQdisc(netlink, { index, parent: root, handle });
}
