/** Asks the kernel about network devices and their addresses through rtnetlink, also those of other namespaces. */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { refused } from '../libbpf/error.ts';
import { little } from '../libbpf/native.ts';

/** A network device. */
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
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
  /** 4 or 16 bytes. */
  readonly bytes: Uint8Array;
}

/** A socket in one network namespace. */
export interface Netlink {
  /**
   * Lists the devices, also of another namespace, which takes CAP_NET_ADMIN and not to enter it.
   * @param namespace its number in this one; undefined: this one itself
   * @throws BpfError
   */
  links(namespace?: number): LinkInfo[];
  /** Lists the addresses of global scope in the same way. @throws BpfError */
  addresses(namespace?: number): AddressInfo[];
  /** Returns the number that another namespace has in this one. @param file such as /proc/PID/ns/net @throws BpfError */
  namespaceOf(file: string): number | undefined;
  close(): void;
}

// Numbers of include/uapi/linux/{socket,netlink,rtnetlink,if_link,if_addr,net_namespace}.h.
const family = 16;
const rawCloseOnExec = 3 | 0o2000000;
const strictChecks = { level: 270, option: 12 };
const messages = {
  error: 2,
  done: 3,
  newLink: 16,
  getLink: 18,
  newAddress: 20,
  getAddress: 22,
  newNsid: 88,
  getNsid: 90,
};
const flags = { request: 1, dump: 0x300 };
const link = { name: 3, mtu: 4, peer: 5, info: 18, kind: 1, peerNamespace: 37, targetNamespace: 46 };
const address = { address: 1, local: 2, targetNamespace: 10 };
const nsid = { number: 1, file: 3 };
const headerBytes = 16;
/** Attributes are known by the lower bits of their type. */
const typeMask = 0x3fff;
/** More than the kernel puts into one answer. */
const bufferBytes = 1 << 18;

interface Libc {
  socket(family: number, type: number, protocol: number): number;
  setsockopt(socket: number, level: number, option: number, value: Uint32Array, size: number): number;
  send(socket: number, message: Uint8Array, size: number, flags: number): number;
  recv(socket: number, message: Uint8Array, size: number, flags: number): number;
}

let bound: Libc | undefined;

function libc(): Libc {
  const library = koffi.load(null);
  bound ??= {
    socket: library.func('int socket(int family, int type, int protocol)'),
    setsockopt: library.func('int setsockopt(int socket, int level, int option, const void *value, uint32_t size)'),
    send: library.func('intptr_t send(int socket, const void *message, size_t size, int flags)'),
    recv: library.func('intptr_t recv(int socket, void *message, size_t size, int flags)'),
  };
  return bound;
}

/** Opens a socket in the network namespace of this thread. @throws BpfError */
export function openNetlink(): Netlink {
  const { socket, setsockopt } = libc();
  const descriptor = checked('open a netlink socket', socket(family, rawCloseOnExec, 0));
  // Without it the kernel ignores the namespace that is asked about, and answers about this one (Linux 4.20).
  setsockopt(descriptor, strictChecks.level, strictChecks.option, Uint32Array.of(1), 4);
  return {
    links(namespace) {
      const target = namespace === undefined ? [] : attribute(link.targetNamespace, namespace);
      return dump(descriptor, messages.getLink, Uint8Array.of(...new Uint8Array(16), ...target)).map(linkOf);
    },
    addresses(namespace) {
      const target = namespace === undefined ? [] : attribute(address.targetNamespace, namespace);
      return dump(descriptor, messages.getAddress, Uint8Array.of(...new Uint8Array(8), ...target)).flatMap(addressOf);
    },
    namespaceOf(file) {
      const other = openSync(file, 'r');
      try {
        const [answer] = ask(
          descriptor,
          messages.getNsid,
          flags.request,
          Uint8Array.of(0, 0, 0, 0, ...attribute(nsid.file, other)),
        );
        const number = answer && attributesOf(answer, 4).get(nsid.number)?.getInt32(0, little);
        return number === undefined || number < 0 ? undefined : number;
      } finally {
        closeSync(other);
      }
    },
    close: () => closeSync(descriptor),
  };
}

function linkOf(body: DataView): LinkInfo {
  const found = attributesOf(body, 16);
  const info = found.get(link.info);
  const kind = info && attributesOf(info, 0).get(link.kind);
  return {
    index: body.getInt32(4, little),
    name: textOf(found.get(link.name)),
    kind: textOf(kind),
    mtu: found.get(link.mtu)?.getUint32(0, little) ?? 0,
    peerIndex: found.get(link.peer)?.getUint32(0, little),
    peerNamespace: found.get(link.peerNamespace)?.getInt32(0, little),
  };
}

function addressOf(body: DataView): AddressInfo[] {
  const scope = body.getUint8(3);
  const found = attributesOf(body, 8);
  const value = found.get(address.local) ?? found.get(address.address);
  if (scope !== 0 || value === undefined) return [];
  return [
    { index: body.getUint32(4, little), bytes: new Uint8Array(value.buffer, value.byteOffset, value.byteLength) },
  ];
}

function dump(descriptor: number, type: number, body: Uint8Array): DataView[] {
  return ask(descriptor, type, flags.request | flags.dump, body);
}

/** Sends a message and returns the bodies of the answers. */
function ask(descriptor: number, type: number, messageFlags: number, body: Uint8Array): DataView[] {
  const message = new Uint8Array(headerBytes + body.length);
  const header = new DataView(message.buffer);
  header.setUint32(0, message.length, little);
  header.setUint16(4, type, little);
  header.setUint16(6, messageFlags, little);
  message.set(body, headerBytes);
  checked('ask the kernel about the network', libc().send(descriptor, message, message.length, 0));
  const answers: DataView[] = [];
  const buffer = new Uint8Array(bufferBytes);
  for (;;) {
    const size = checked('read about the network', libc().recv(descriptor, buffer, buffer.length, 0));
    const data = new DataView(buffer.slice(0, size).buffer);
    for (let at = 0; at + headerBytes <= size; ) {
      const length = data.getUint32(at, little);
      const kind = data.getUint16(at + 4, little);
      if (kind === messages.done) return answers;
      if (kind === messages.error) {
        throw refused('ask the kernel about the network', -data.getInt32(at + headerBytes, little));
      }
      answers.push(new DataView(data.buffer, at + headerBytes, length - headerBytes));
      if ((messageFlags & flags.dump) === 0) return answers;
      at += aligned(length);
    }
  }
}

/** Reads the attributes behind the fixed part of a message. */
function attributesOf(body: DataView, fixedBytes: number): Map<number, DataView> {
  const found = new Map<number, DataView>();
  for (let at = fixedBytes; at + 4 <= body.byteLength; ) {
    const length = body.getUint16(at, little);
    if (length < 4) break;
    const type = body.getUint16(at + 2, little) & typeMask;
    found.set(type, new DataView(body.buffer, body.byteOffset + at + 4, length - 4));
    at += aligned(length);
  }
  return found;
}

/** Encodes an attribute of 32 bits. */
function attribute(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const data = new DataView(bytes.buffer);
  data.setUint16(0, 8, little);
  data.setUint16(2, type, little);
  data.setInt32(4, value, little);
  return bytes;
}

function textOf(value: DataView | undefined): string {
  if (value === undefined) return '';
  return new TextDecoder()
    .decode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    .replace(/\0.*$/, '');
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function checked(what: string, result: number | bigint): number {
  if (Number(result) >= 0) return Number(result);
  throw refused(what, koffi.errno());
}
