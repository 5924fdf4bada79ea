/**
 * The queue in front of a pod's device, for senders that are near and follow no share: what it is made of, as tc commands.
 *
 * HTB at the limit's rate on the device's host side. Packets below 256 bytes have a class of their own, which goes first, so that
 * ACKs, requests and pings do not wait; what is left is shared between TCP and all other, so that a flood leaves TCP its part.
 */

/** Handles by which podrate knows its queues: those of pods are the agent's, those made by hand the command line tool's. */
export const podHandle = '7064:';
export const manualHandle = '7065:';

/** What a class's packets wait in: fair to each flow where the kernel has it. */
export type Leaf = 'fq_codel' | 'bfifo';

/** A queue as it should be. */
export interface Queue {
  /** The limit, in bytes of IP packets per second. */
  readonly rate: number;
  /** The device's MTU, in bytes. */
  readonly mtu: number;
}

/** Bits per second of HTB's classes by minor number. */
export type ClassRates = Readonly<Record<string, { readonly rate: number; readonly ceil: number }>>;

/** The classes' minor numbers, and the least part of the rate that each has. */
const classes = {
  small: { minor: '10', part: 1 / 2 },
  tcp: { minor: '20', part: 1 / 4 },
  rest: { minor: '30', part: 1 / 4 },
};

/** How many classes a queue has, with the one that bounds their sum. */
export const classCount = Object.keys(classes).length + 1;

/** tc counts Ethernet's header too. */
const headerBytes = 14;
/** How long a packet waits at most, where packets are not too large for that. */
const longestMs = 25;
/** The largest GSO packet, which a queue must be able to hold; CNI's bandwidth plugin has as much beside its 25 ms. */
const largestPacket = 65_536;
/** How much may pass at once, in ms of the rate and in bytes: two packets. */
const [burstMs, leastBurst] = [1, 3100];

/**
 * The rate that tc gets, in bits per second. Full-sized packets pass at the limit as podrate counts it, never faster, so the limit
 * has nothing left to drop.
 */
export function linkRate({ rate, mtu }: Queue): number {
  return printable((rate * 8 * (mtu + headerBytes)) / mtu);
}

/** What each class may take, by minor number, and what it is sure of; in bits per second. */
export function classRates(queue: Queue): ClassRates {
  const ceil = linkRate(queue);
  const parts = Object.values(classes).map(({ minor, part }) => [minor, { rate: printable(ceil * part), ceil }]);
  return { '1': { rate: ceil, ceil }, ...Object.fromEntries(parts) };
}

/** Rounds down to what tc prints in full, so that reading it back gives the same: the kernel counts bytes, tc up to six digits. */
function printable(bits: number): number {
  const unit = bits < 1e6 ? 8 : bits < 1e9 ? 1e3 : 1e6;
  return Math.max(8, Math.floor(bits / unit) * unit);
}

/** Commands that make the queue on a device that has none. The last of them are the leaves: where those are, all is there. */
export function installCommands(device: string, handle: string, queue: Queue, leaf: Leaf): string[] {
  const { small, tcp, rest } = classes;
  const filter = (protocol: string, priority: number, match: string, { minor }: { minor: string }) =>
    `filter add dev ${device} parent ${handle} protocol ${protocol} prio ${priority} u32 ${match} flowid ${handle}${minor}`;
  return [
    `qdisc add dev ${device} root handle ${handle} htb default ${rest.minor}`,
    ...classCommands('add', device, handle, queue),
    // A length of 0 is a packet too large for the field (BIG TCP); one whose upper byte is 0 is below 256.
    filter('ip', 1, 'match u16 0 0xffff at 2', tcp),
    filter('ip', 2, 'match u16 0 0xff00 at 2', small),
    filter('ip', 3, 'match u8 6 0xff at 9', tcp),
    filter('ipv6', 4, 'match u16 0 0xffff at 4', tcp),
    filter('ipv6', 5, 'match u16 0 0xff00 at 4', small),
    filter('ipv6', 6, 'match u8 6 0xff at 6', tcp),
    filter('arp', 7, 'match u32 0 0', small),
    ...leafCommands('add', device, handle, queue, leaf),
  ];
}

/** Commands that bring a queue that is there to another rate. Nothing that waits in it is lost. */
export function changeCommands(device: string, handle: string, queue: Queue, leaf: Leaf): string[] {
  return [...classCommands('change', device, handle, queue), ...leafCommands('change', device, handle, queue, leaf)];
}

/** The command that takes the queue off. */
export function removeCommand(device: string): string {
  return `qdisc del dev ${device} root`;
}

/** The leaves' parents and handles. */
export function leavesOf(handle: string): readonly { readonly parent: string; readonly handle: string }[] {
  const base = Number.parseInt(handle, 16);
  return Object.values(classes).map(({ minor }) => ({
    parent: `${handle}${minor}`,
    handle: `${(base + Number.parseInt(minor, 16) * 256).toString(16)}:`,
  }));
}

function classCommands(verb: 'add' | 'change', device: string, handle: string, queue: Queue): string[] {
  const rates = classRates(queue);
  const burst = Math.max(leastBurst, Math.round((queue.rate * burstMs) / 1000));
  return Object.entries(rates).map(([minor, { rate, ceil }]) => {
    const isRoot = minor === '1';
    const parent = isRoot ? handle : `${handle}1`;
    const priority = isRoot ? '' : ` prio ${minor === classes.small.minor ? 0 : 1} quantum ${queue.mtu + headerBytes}`;
    const size = `rate ${rate}bit ceil ${ceil}bit burst ${burst} cburst ${burst}`;
    return `class ${verb} dev ${device} parent ${parent} classid ${handle}${minor} htb ${size}${priority}`;
  });
}

function leafCommands(verb: 'add' | 'change', device: string, handle: string, queue: Queue, leaf: Leaf): string[] {
  return leavesOf(handle).map(
    ({ parent, handle: own }) =>
      `qdisc ${verb} dev ${device} parent ${parent} handle ${own} ${leafOptions(queue, leaf)}`,
  );
}

function leafOptions({ rate, mtu }: Queue, leaf: Leaf): string {
  if (leaf === 'bfifo') return `bfifo limit ${Math.round((rate * longestMs) / 1000) + largestPacket}`;
  // CoDel needs a target of more than one packet's time (RFC 8289, section 4.3).
  const targetUs = Math.max(5000, Math.round((1.5 * mtu * 1e6) / rate));
  return `fq_codel target ${targetUs}us interval ${Math.max(100_000, 2 * targetUs)}us quantum ${mtu + headerBytes}`;
}
