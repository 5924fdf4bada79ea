/**
 * Finds the host's ends of the virtual Ethernet devices by which other network namespaces are connected. The kernel is
 * asked about those namespaces by their numbers: nothing enters them.
 */
import { type LinkInfo, listAddresses, listLinks, namespaceOf } from '../net/links.ts';
import { type Netlink, withNetlink } from '../net/netlink.ts';

/** The host's end of a pair of virtual Ethernet devices. */
export interface HostDevice {
  readonly index: number;
  readonly name: string;
  /** The smaller one of both ends, in bytes. */
  readonly mtu: number;
}

/** Why a pod has no device: none has its address, or those of two namespaces have. */
export type MissingDevice = 'none' | 'ambiguous';

/** A pair of devices: one end is here, the other one in another namespace. */
interface Pair {
  readonly device: HostDevice;
  readonly namespace: number;
  /** Of the other end. */
  readonly addresses: readonly string[];
}

/**
 * Builds the finder of pods' devices. A namespace is looked at until its devices have addresses, and then never again: a
 * pod keeps its own.
 * @param host file of the namespace where the host's ends are; undefined: this process's own
 * @returns a function that returns devices by the pods' addresses, and throws NetlinkError
 */
export function createPodDevices(host?: string) {
  const known = new Map<string, Pair>();
  return (wanted: ReadonlySet<string>): Map<string, HostDevice | MissingDevice> =>
    withNetlink(host, (netlink) => {
      const veths = vethsOf(netlink);
      const keys = new Set(veths.map(keyOf));
      for (const key of known.keys()) if (!keys.has(key)) known.delete(key);
      const unknown = Map.groupBy(
        veths.filter((veth) => !known.has(keyOf(veth))),
        ({ peerNamespace }) => peerNamespace,
      );
      for (const [namespace, ends] of unknown) {
        for (const [key, pair] of pairsWith(netlink, namespace, ends)) {
          if (pair.addresses.length > 0) known.set(key, pair);
        }
      }
      return new Map([...wanted].map((address) => [address, deviceWith(address, [...known.values()])]));
    }) ?? new Map();
}

/** Returns the ends here of the devices in another namespace. @param file of that namespace @throws NetlinkError */
export function devicesInto(file: string): HostDevice[] {
  const found = withNetlink(undefined, (netlink) => {
    const namespace = namespaceOf(netlink, file);
    const ends = vethsOf(netlink).filter(({ peerNamespace }) => peerNamespace === namespace);
    if (namespace === undefined) return [];
    return [...pairsWith(netlink, namespace, ends).values()].map(({ device }) => device);
  });
  return found ?? [];
}

/** A device whose other end is in another namespace. */
type Veth = LinkInfo & { readonly peerIndex: number; readonly peerNamespace: number };

function vethsOf(netlink: Netlink): Veth[] {
  return listLinks(netlink).flatMap((link) => (isVeth(link) ? [link] : []));
}

function isVeth(link: LinkInfo): link is Veth {
  return link.kind === 'veth' && link.peerIndex !== undefined && link.peerNamespace !== undefined;
}

/** Returns pairs by their keys. Both ends must name each other: an index alone means something else in every namespace. */
function pairsWith(netlink: Netlink, namespace: number, ends: readonly Veth[]): Map<string, Pair> {
  const pairs = new Map<string, Pair>();
  try {
    const others = new Map(listLinks(netlink, namespace).map((link) => [link.index, link]));
    const addresses = listAddresses(netlink, namespace);
    for (const end of ends) {
      const other = others.get(end.peerIndex);
      if (other?.peerIndex !== end.index) continue;
      const own = addresses.filter(({ index }) => index === other.index).map(({ text }) => text);
      const device = { index: end.index, name: end.name, mtu: Math.min(end.mtu, other.mtu) };
      pairs.set(keyOf(end), { device, namespace, addresses: own });
    }
  } catch {
    // The namespace has vanished.
  }
  return pairs;
}

/** Whoever may set up a pod's network may give it another pod's address: then neither is believed. */
function deviceWith(address: string, pairs: readonly Pair[]): HostDevice | MissingDevice {
  const [pair, ...others] = pairs.filter(({ addresses }) => addresses.includes(address));
  if (pair === undefined) return 'none';
  return others.every(({ namespace }) => namespace === pair.namespace) ? pair.device : 'ambiguous';
}

function keyOf({ index, peerIndex, peerNamespace }: Veth): string {
  return `${index} ${peerIndex} ${peerNamespace}`;
}
