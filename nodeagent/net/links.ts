/** Network devices and their addresses, also those of other namespaces. */
import { closeSync, openSync } from 'node:fs';
import ipaddr from 'ipaddr.js';
import { little } from '../libbpf/native.ts';
import { attribute, attributeOf, type Netlink, textOf, u32 } from './netlink.ts';

/** A network device. */
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  readonly isUp: boolean;
  readonly isLoopback: boolean;
  /** Whether its packets have Ethernet's header. */
  readonly isEthernet: boolean;
  /** Such as `veth`; empty for a physical one. */
  readonly kind: string;
  /** In bytes. */
  readonly mtu: number;
  /** The index of the other end in its own namespace; undefined where there is none. */
  readonly peerIndex: number | undefined;
  /** The namespace of the other end, by its number in the namespace that was asked; undefined for the same one. */
  readonly peerNamespace: number | undefined;
}

/** An IP address on a device. */
export interface AddressInfo {
  /** The device's index. */
  readonly index: number;
  /** In the kernel's spelling. */
  readonly text: string;
}

// Numbers of include/uapi/linux/{rtnetlink,if,if_arp,if_link,if_addr,net_namespace}.h.
const messages = { getLink: 18, getAddress: 22, getNsid: 90 };
const link = { name: 3, mtu: 4, peer: 5, info: 18, kind: 1, peerNamespace: 37, targetNamespace: 46 };
const [up, loopback] = [1, 8];
const ethernet = 1;
const address = { address: 1, local: 2, targetNamespace: 10 };
const nsid = { number: 1, file: 3 };
const linkBytes = 16;
const addressBytes = 8;
/** Addresses of this scope, RT_SCOPE_LINK, and above are valid on one link only, or on one machine. */
const linkScope = 253;

/**
 * Lists the devices, also of another namespace, which takes CAP_NET_ADMIN and not to enter it.
 * @param namespace its number in this one; undefined: this one itself
 * @throws NetlinkError
 */
export function listLinks(netlink: Netlink, namespace?: number): LinkInfo[] {
  const body = [...new Uint8Array(linkBytes), ...targetOf(link.targetNamespace, namespace)];
  return netlink.dump(messages.getLink, Uint8Array.from(body)).map(linkOf);
}

/** Lists the addresses that are valid beyond their link, in the same way. @throws NetlinkError */
export function listAddresses(netlink: Netlink, namespace?: number): AddressInfo[] {
  const body = [...new Uint8Array(addressBytes), ...targetOf(address.targetNamespace, namespace)];
  return netlink.dump(messages.getAddress, Uint8Array.from(body)).flatMap(addressOf);
}

/**
 * Returns the number that another namespace has in this one.
 * @param file such as /proc/PID/ns/net
 * @throws NetlinkError
 */
export function namespaceOf(netlink: Netlink, file: string): number | undefined {
  const other = openSync(file, 'r');
  try {
    const body = [...u32(0), ...attribute(nsid.file, u32(other))];
    const answer = netlink.get(messages.getNsid, Uint8Array.from(body));
    const number = attributeOf(answer, nsid.number, 4)?.getInt32(0, little);
    return number === undefined || number < 0 ? undefined : number;
  } finally {
    closeSync(other);
  }
}

function targetOf(type: number, namespace: number | undefined): Uint8Array {
  return namespace === undefined ? new Uint8Array() : attribute(type, u32(namespace));
}

function linkOf(body: DataView): LinkInfo {
  const found = (type: number) => attributeOf(body, type, linkBytes);
  const flags = body.getUint32(8, little);
  return {
    index: body.getInt32(4, little),
    name: textOf(found(link.name)),
    isUp: (flags & up) !== 0,
    isLoopback: (flags & loopback) !== 0,
    isEthernet: body.getUint16(2, little) === ethernet,
    kind: textOf(attributeOf(found(link.info), link.kind)),
    mtu: found(link.mtu)?.getUint32(0, little) ?? 0,
    peerIndex: found(link.peer)?.getUint32(0, little),
    peerNamespace: found(link.peerNamespace)?.getInt32(0, little),
  };
}

function addressOf(body: DataView): AddressInfo[] {
  const found = (type: number) => attributeOf(body, type, addressBytes);
  const value = found(address.local) ?? found(address.address);
  if (value === undefined || body.getUint8(3) >= linkScope) return [];
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const parsed = ipaddr.fromByteArray([...bytes]);
  const text = parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
  return [{ index: body.getUint32(4, little), text }];
}
