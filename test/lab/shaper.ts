import { mkdir, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { type Adopted, adoptConnections } from '../../nodeagent/adoption/iterator.ts';
import { pin, withDescriptor } from '../../nodeagent/libbpf/call.ts';
import { createIterator, loadObject } from '../../nodeagent/libbpf/object.ts';
import { parseBlocks } from '../../nodeagent/net/blocks.ts';
import { encodeBlock } from '../../nodeagent/shaper/maps.ts';
import { adopterObject } from '../../nodeagent/shaper/pins.ts';
import type { Classifier } from '../../nodeagent/shaper/shaper.ts';

/** Bytes per second of IP packets; 0 = no limit. */
export interface LabLimit {
  egress?: number;
  ingress?: number;
  burstNs?: number;
  release?: boolean;
  /** A queue of the ingress rate is in front of the pod. */
  queued?: boolean;
}

/** One direction's verdicts as bpftool shows them, summed over CPUs. */
export interface Verdicts {
  passed: Count;
  delayed: Count;
  dropped: Count;
  marked: Count;
}
export interface Count {
  packets: number;
  bytes: number;
}

/** The loaded object, driven by bpftool alone: the smallest thing that the data path's own tests need. */
export interface LoadedShaper {
  /** Attaches the cgroup's three programs and gives it a slot. */
  attach(cgroup: { path: string; id: bigint }, slot: number, limit: LabLimit): Promise<void>;
  setLimit(slot: number, limit: LabLimit): Promise<void>;
  detach(cgroup: { path: string }): Promise<void>;
  /** Attaches the release program to a cgroup that holds all pods. */
  attachRelease(path: string): Promise<void>;
  detachRelease(path: string): Promise<void>;
  /** The classifier of ingress queues. */
  classifier(): Promise<Classifier>;
  readCounters(slot: number): Promise<{ egress: Verdicts; ingress: Verdicts }>;
  /** How far the clock of what a slot sends is ahead, in ms. */
  readBacklog(slot: number): Promise<number>;
  /** How many jiffies a second has, as the programs have measured it; 0 before they have. */
  readJiffies(): Promise<number>;
  /** Calls of each program since it was loaded and the time that they took, while the kernel counted them. */
  readTimes(): Promise<Map<string, { calls: number; ns: number }>>;
  /** Adds an address block to the list of peers to which no limit applies. */
  exempt(block: string): Promise<void>;
  /** Brings connections of a pod under pacing that are older than its limit. */
  adopt(pod: { netnsPath: string }): Promise<Adopted>;
  unload(): Promise<void>;
}

/** What `make -C bpf` builds. */
export const object = fileURLToPath(new URL('../../bpf/shaper.bpf.o', import.meta.url));
/** sizeof(struct podrate_state). */
export const stateBytes = 192;
const RELEASE = 1n;
const QUEUED = 2n;
const attachments = [
  ['cgroup_inet_egress', 'podrate_egress'],
  ['cgroup_inet_ingress', 'podrate_ingress'],
  ['cgroup_sock_ops', 'podrate_sockops'],
] as const;

/** Loads the object under /sys/fs/bpf/<name>, in place of one that an earlier run has left there. */
export async function loadShaper(name: string): Promise<LoadedShaper> {
  const pins = `/sys/fs/bpf/${name}`;
  await rm(pins, { recursive: true, force: true });
  await mkdir(`${pins}/maps`, { recursive: true });
  await bpftool('prog', 'loadall', object, `${pins}/programs`, 'pinmaps', `${pins}/maps`);
  const adopter = `${pins}/adopter`;
  const { programs, close } = loadObject(adopterObject(object), () => `${pins}/maps/podrate_sockets`);
  withDescriptor(createIterator(programs.get('podrate_adopt') ?? -1), (iterator) => pin(iterator, adopter));
  close();
  const program = (attached: string) => ['pinned', `${pins}/programs/${attached}`];
  const map = (name: string) => ['pinned', `${pins}/maps/podrate_${name}`];
  const setLimit = (slot: number, limit: LabLimit) =>
    bpftool('map', 'update', ...map('configs'), 'key', ...bytes32(slot), 'value', ...configBytes(limit));
  return {
    setLimit,
    async attach(cgroup, slot, limit) {
      const zero = Array<string>(stateBytes).fill('0');
      await bpftool('map', 'update', ...map('states'), 'key', ...bytes32(slot), 'value', ...zero);
      await setLimit(slot, limit);
      for (const [type, name] of attachments) {
        await bpftool('cgroup', 'attach', cgroup.path, type, ...program(name), 'multi');
      }
      await bpftool('map', 'update', ...map('slots'), 'key', ...bytes64(cgroup.id), 'value', ...bytes32(slot));
    },
    async detach(cgroup) {
      for (const [type, name] of attachments) await bpftool('cgroup', 'detach', cgroup.path, type, ...program(name));
    },
    attachRelease: (path) =>
      bpftool('cgroup', 'attach', path, 'cgroup_sock_ops', ...program('podrate_release'), 'multi'),
    detachRelease: (path) => bpftool('cgroup', 'detach', path, 'cgroup_sock_ops', ...program('podrate_release')),
    async classifier() {
      const file = `${pins}/programs/podrate_queue`;
      const { stdout } = await execa('bpftool', ['-j', 'prog', 'show', 'pinned', file]);
      return { file, id: JSON.parse(stdout).id };
    },
    async readCounters(slot) {
      const { stdout } = await execa('bpftool', ['-j', 'map', 'lookup', ...map('counts'), 'key', ...bytes32(slot)]);
      const perCpu: { value: Record<'egress' | 'ingress', Verdicts> }[] = JSON.parse(stdout).formatted.values;
      return {
        egress: sum(perCpu.map((cpu) => cpu.value.egress)),
        ingress: sum(perCpu.map((cpu) => cpu.value.ingress)),
      };
    },
    async readBacklog(slot) {
      const { stdout } = await execa('bpftool', ['-j', 'map', 'lookup', ...map('states'), 'key', ...bytes32(slot)]);
      // bpf_ktime_get_ns() is CLOCK_MONOTONIC, as hrtime is; the clock counts in 1/256 ns.
      const now = process.hrtime.bigint() << 8n;
      return Number(BigInt(JSON.parse(stdout).formatted.value.egress.next) - now) / 256e6;
    },
    async readJiffies() {
      const { stdout } = await execa('bpftool', ['-j', 'map', 'lookup', ...map('jiffies'), 'key', ...bytes32(0)]);
      return JSON.parse(stdout).formatted.value.hz;
    },
    async readTimes() {
      const names = await readdir(`${pins}/programs`);
      const times = names.map(async (name) => {
        const { stdout } = await execa('bpftool', ['-j', 'prog', 'show', ...program(name)]);
        const { run_cnt: calls = 0, run_time_ns: ns = 0 } = JSON.parse(stdout);
        return [name, { calls, ns }] as const;
      });
      return new Map(await Promise.all(times));
    },
    async exempt(block) {
      for (const parsed of parseBlocks(block)) {
        const key = Array.from(encodeBlock(parsed), String);
        await bpftool('map', 'update', ...map('exempt'), 'key', ...key, 'value', ...bytes32(1));
      }
    },
    async adopt(pod) {
      return adoptConnections(adopter, [pod.netnsPath]);
    },
    unload: () => rm(pins, { recursive: true, force: true }),
  };
}

async function bpftool(...args: string[]): Promise<void> {
  await execa('bpftool', args);
}

const bytes32 = (value: number) => [...new Uint8Array(new Uint32Array([value]).buffer)].map(String);
const bytes64 = (value: bigint) => [...new Uint8Array(new BigUint64Array([value]).buffer)].map(String);

/** struct podrate_config. */
function configBytes({ egress = 0, ingress = 0, burstNs = 0, release = false, queued = false }: LabLimit): string[] {
  const flags = (release ? RELEASE : 0n) | (queued ? QUEUED : 0n);
  const fields = [BigInt(egress), BigInt(burstNs), BigInt(ingress), BigInt(burstNs), flags];
  return fields.flatMap(bytes64);
}

function sum(cpus: Verdicts[]): Verdicts {
  const add = (verdict: keyof Verdicts): Count => ({
    packets: cpus.reduce((total, cpu) => total + cpu[verdict].packets, 0),
    bytes: cpus.reduce((total, cpu) => total + cpu[verdict].bytes, 0),
  });
  return { passed: add('passed'), delayed: add('delayed'), dropped: add('dropped'), marked: add('marked') };
}
