/**
 * Map values of bpf/abi.h, byte for byte. The sizes and offsets are data, so that a test can compare them with the type
 * information (BTF) of the object. Everything is native endian: the agent and the programs share a machine.
 */
import { little } from '../libbpf/native.ts';

/**
 * The version of the maps' layout, which names the directory of the pins. Another number for any change of a map's type, size
 * or meaning: programs of different versions share the maps of a layout.
 */
export const layoutVersion = 2;

/** Number of slots of a node, PODRATE_SLOTS. Slot 0 means "not assigned yet". */
export const slotCount = 1024;

/** Sizes and field offsets in bytes of the structures of bpf/abi.h. */
export const structures = {
  podrate_direction: { size: 16, fields: { rate: 0, burst_ns: 8 } },
  podrate_config: { size: 40, fields: { egress: 0, ingress: 16, flags: 32 } },
  podrate_count: { size: 16, fields: { packets: 0, bytes: 8 } },
  podrate_verdicts: { size: 64, fields: { passed: 0, delayed: 16, dropped: 32, marked: 48 } },
  podrate_counters: { size: 128, fields: { egress: 0, ingress: 64 } },
  podrate_clock: { size: 64, fields: { next: 0, datagrams: 8, first: 16, average: 24 } },
  podrate_state: { size: 192, fields: { egress: 0, ingress: 64, gate: 128, queued_ns: 168, lock: 176 } },
  podrate_owner: { size: 72, fields: { cgroup_id: 0, name: 8 } },
} as const;

/** The clocks count in 1/256 ns: TICK_SHIFT of bpf/lib/thresholds.h. */
const tickShift = 8n;
/** The classifier writes down when it sees packets to a tenth of a second. */
const bypassedNs = 5_000_000_000n;
/** PODRATE_RELEASE: lift pacing and clamps from every socket, in preparation of a detach. */
const releaseFlag = 1n;
/** PODRATE_QUEUED: a queue of the ingress rate is in front. */
const queuedFlag = 2n;
const nameBytes = structures.podrate_owner.size - structures.podrate_owner.fields.name;

/** One direction of a slot's limit. */
export interface DirectionConfig {
  /** Bytes per second of IP packets; 0 means no limit. */
  readonly rate: number;
  /** Time of rate that may pass at once after idle, in nanoseconds; 0 means the shaper's default. */
  readonly burstNs: number;
}

/** What user space tells the programs about a slot. */
export interface SlotConfig {
  readonly egress: DirectionConfig;
  readonly ingress: DirectionConfig;
  /** True while the sockets are being set free before a detach. */
  readonly release: boolean;
  /** True while a queue of the ingress rate is in front of the device. */
  readonly queued: boolean;
}

/** Who holds a slot. */
export interface Owner {
  /** Inode number of the cgroup's directory. */
  readonly cgroupId: bigint;
  /** `pod/<uid>` or `manual/<cgroup id>`. */
  readonly name: string;
}

/** Packets on the wire and their IP bytes. */
export interface Count {
  readonly packets: number;
  readonly bytes: number;
}

/** What happened to one direction's packets. `passed` includes `delayed` and `marked`. */
export type Verdicts = Readonly<Record<Verdict, Count>>;

/** The shaper's verdicts. */
export type Verdict = 'passed' | 'delayed' | 'dropped' | 'marked';

/** All verdicts, in the order of the structure. */
export const verdicts: readonly Verdict[] = ['passed', 'delayed', 'dropped', 'marked'];

/** The counters of a slot. */
export interface Counters {
  readonly egress: Verdicts;
  readonly ingress: Verdicts;
}

/** Encodes a map key or value that is a u32, such as a slot number. */
export function encodeU32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Decodes a u32. */
export function decodeU32(bytes: Uint8Array): number {
  return view(bytes, 4).getUint32(0, little);
}

/** Encodes u64s, such as a cgroup id. */
export function encodeU64(...values: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}

/** Decodes a u64. */
export function decodeU64(bytes: Uint8Array): bigint {
  return view(bytes, 8).getBigUint64(0, little);
}

/** Encodes a struct podrate_config. */
export function encodeConfig({ egress, ingress, release, queued }: SlotConfig): Uint8Array {
  const { size, fields } = structures.podrate_config;
  const bytes = new Uint8Array(size);
  const direction = ({ rate, burstNs }: DirectionConfig) => encodeU64(BigInt(rate), BigInt(burstNs));
  bytes.set(direction(egress), fields.egress);
  bytes.set(direction(ingress), fields.ingress);
  bytes.set(encodeU64((release ? releaseFlag : 0n) | (queued ? queuedFlag : 0n)), fields.flags);
  return bytes;
}

/** Decodes a struct podrate_config. */
export function decodeConfig(bytes: Uint8Array): SlotConfig {
  const { size, fields } = structures.podrate_config;
  const data = view(bytes, size);
  const direction = (offset: number): DirectionConfig => ({
    rate: Number(data.getBigUint64(offset, little)),
    burstNs: Number(data.getBigUint64(offset + 8, little)),
  });
  const flags = data.getBigUint64(fields.flags, little);
  return {
    egress: direction(fields.egress),
    ingress: direction(fields.ingress),
    release: (flags & releaseFlag) !== 0n,
    queued: (flags & queuedFlag) !== 0n,
  };
}

/**
 * Reports whether a slot received packets that did not come through its queue, by its struct podrate_state: the limit
 * has charged one much later than the queue's classifier has last seen one.
 */
export function isBypassed(bytes: Uint8Array): boolean {
  const { size, fields } = structures.podrate_state;
  const data = view(bytes, size);
  // When its clock will have sent what was charged.
  const chargedNs = data.getBigUint64(fields.ingress + structures.podrate_clock.fields.next, little) >> tickShift;
  return chargedNs > data.getBigUint64(fields.queued_ns, little) + bypassedNs;
}

/** Encodes a struct podrate_owner. The name must be shorter than 64 bytes: the programs may expect the closing NUL. */
export function encodeOwner(owner: Owner): Uint8Array {
  const name = new TextEncoder().encode(owner.name);
  if (name.length >= nameBytes)
    throw new RangeError(`the owner name ${owner.name} is longer than ${nameBytes - 1} bytes`);
  const bytes = new Uint8Array(structures.podrate_owner.size);
  bytes.set(encodeU64(owner.cgroupId));
  bytes.set(name, structures.podrate_owner.fields.name);
  return bytes;
}

/** Decodes a struct podrate_owner. */
export function decodeOwner(bytes: Uint8Array): Owner {
  view(bytes, structures.podrate_owner.size);
  const name = bytes.subarray(structures.podrate_owner.fields.name);
  const end = name.indexOf(0);
  return {
    cgroupId: decodeU64(bytes.subarray(0, 8)),
    name: new TextDecoder().decode(end === -1 ? name : name.subarray(0, end)),
  };
}

/** Decodes a slot's counters, summed over the CPUs: one struct podrate_counters for each CPU. */
export function decodeCounters(perCpu: readonly Uint8Array[]): Counters {
  const { size, fields } = structures.podrate_counters;
  const views = perCpu.map((bytes) => view(bytes, size));
  const sum = (offset: number) => Number(views.reduce((total, data) => total + data.getBigUint64(offset, little), 0n));
  const count = (offset: number): Count => ({ packets: sum(offset), bytes: sum(offset + 8) });
  const at = structures.podrate_verdicts.fields;
  const direction = (offset: number) =>
    Object.fromEntries(verdicts.map((verdict) => [verdict, count(offset + at[verdict])])) as Verdicts;
  return { egress: direction(fields.egress), ingress: direction(fields.ingress) };
}

function view(bytes: Uint8Array, size: number): DataView {
  if (bytes.length !== size) throw new RangeError(`expected ${size} bytes of a map value, got ${bytes.length}`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
