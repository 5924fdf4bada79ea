/** Speaks rtnetlink with the kernel: messages, their attributes, and the errors that it answers. */
import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';
import { withDescriptor } from '../libbpf/call.ts';
import { libc } from '../libbpf/libc.ts';
import { inNetworkNamespace } from '../libbpf/namespace.ts';
import { little } from '../libbpf/native.ts';

/** A socket in one network namespace. */
export interface Netlink {
  /** Sends a request whose answer is one message, if any. @returns the message's body @throws NetlinkError */
  get(type: number, body: Uint8Array): DataView | undefined;
  /** Lists objects. @returns a body for each @throws NetlinkError */
  dump(type: number, body: Uint8Array): DataView[];
  /** Changes something. @param createFlags such as {@link create} @throws NetlinkError */
  change(type: number, createFlags: number, body: Uint8Array): void;
}

/** The kernel refused a request. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** The name of the error number, such as `ENODEV`. */
  readonly errno: string;

  /** @param said the kernel's own sentence; empty where it has none */
  constructor(errno: number, said: string) {
    const [name = `error ${errno}`, text = 'unknown error'] = getSystemErrorMap().get(-errno) ?? [];
    super(`${said || text} (${name})`);
    this.errno = name;
  }
}

/** What a change does where the object does not exist, and where it does: include/uapi/linux/netlink.h. */
export const create = { new: 0x600, orChange: 0x400, orReplace: 0x500 } as const;

// Numbers of include/uapi/linux/{socket,netlink}.h.
const family = 16;
const rawCloseOnExec = 3 | 0o2000000;
const socketOptions = { level: 270, cappedErrors: 10, sentences: 11, strictChecks: 12 };
const [errorType, doneType] = [2, 3];
const flags = { request: 1, acknowledge: 4, dump: 0x300 };
const sentence = 1;
const headerBytes = 16;
/** Attributes are known by the lower bits of their type. */
const typeMask = 0x3fff;
/** More than the kernel puts into one answer. */
const bufferBytes = 1 << 18;

/**
 * Uses a socket, and closes it. It stays in the namespace in which it was opened.
 * @param namespace a file such as /run/netns/NAME, which takes CAP_SYS_ADMIN; undefined: this process's own
 * @returns undefined if the namespace has vanished
 * @throws BpfError if it cannot be entered
 */
export function withNetlink<T>(namespace: string | undefined, use: (netlink: Netlink) => T): T | undefined {
  const descriptor = namespace === undefined ? openSocket() : inNetworkNamespace(namespace, openSocket);
  if (descriptor === undefined) return undefined;
  return withDescriptor(descriptor, () => use(netlinkOf(descriptor)));
}

function openSocket(): number {
  const { socket, setsockopt } = libc();
  const descriptor = checked(socket(family, rawCloseOnExec, 0));
  // Without strict checks the kernel ignores the namespace that is asked about, and answers about this one (Linux
  // 4.20).
  const { level, ...options } = socketOptions;
  for (const option of Object.values(options)) setsockopt(descriptor, level, option, Uint32Array.of(1), 4);
  return descriptor;
}

function netlinkOf(descriptor: number): Netlink {
  const buffer = new Uint8Array(bufferBytes);
  /** Returns the bodies of the answers, up to the end of a dump, or an acknowledgement. */
  const ask = (type: number, messageFlags: number, body: Uint8Array): DataView[] => {
    const message = Uint8Array.of(...u32(headerBytes + body.length), ...new Uint8Array(12), ...body);
    const header = new DataView(message.buffer);
    header.setUint16(4, type, little);
    header.setUint16(6, flags.request | messageFlags, little);
    checked(libc().send(descriptor, message, message.length, 0));
    const answers: DataView[] = [];
    for (;;) {
      const size = checked(libc().recv(descriptor, buffer, buffer.length, 0));
      const data = new DataView(buffer.slice(0, size).buffer);
      for (let at = 0; at + headerBytes <= size; ) {
        const length = data.getUint32(at, little);
        const kind = data.getUint16(at + 4, little);
        const answer = new DataView(data.buffer, at + headerBytes, length - headerBytes);
        if (kind === errorType || kind === doneType) {
          throwRefusal(answer);
          return answers;
        }
        answers.push(answer);
        at += aligned(length);
      }
    }
  };
  return {
    get: (type, body) => ask(type, flags.acknowledge, body)[0],
    dump: (type, body) => ask(type, flags.dump, body),
    change: (type, createFlags, body) => void ask(type, flags.acknowledge | createFlags, body),
  };
}

/** Throws what an acknowledgement or the end of a dump says is wrong, if anything. */
function throwRefusal(answer: DataView): void {
  const errno = answer.byteLength >= 4 ? -answer.getInt32(0, little) : 0;
  if (errno <= 0) return;
  // Behind the number there is the header of the request.
  throw new NetlinkError(errno, textOf(attributeOf(answer, sentence, 4 + headerBytes)));
}

/**
 * Returns an attribute behind the fixed part of a message, or one that is in another attribute. A device has sixty, of
 * which few are looked for.
 */
export function attributeOf(body: DataView | undefined, wanted: number, fixedBytes = 0): DataView | undefined {
  if (body === undefined) return undefined;
  for (let at = fixedBytes; at + 4 <= body.byteLength; ) {
    const length = body.getUint16(at, little);
    if (length < 4) return undefined;
    const type = body.getUint16(at + 2, little) & typeMask;
    if (type === wanted) return new DataView(body.buffer, body.byteOffset + at + 4, length - 4);
    at += aligned(length);
  }
  return undefined;
}

/** Encodes an attribute. */
export function attribute(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const payload = parts.flatMap((part) => [...part]);
  const bytes = new Uint8Array(4 + aligned(payload.length));
  const header = new DataView(bytes.buffer);
  header.setUint16(0, 4 + payload.length, little);
  header.setUint16(2, type, little);
  bytes.set(payload, 4);
  return bytes;
}

/** Encodes numbers of 32 bits. */
export function u32(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** Encodes a name as C has it. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** Decodes a name; empty for none. */
export function textOf(value: DataView | undefined): string {
  if (value === undefined) return '';
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function checked(result: number | bigint): number {
  if (Number(result) >= 0) return Number(result);
  throw new NetlinkError(koffi.errno(), '');
}
