/** Sends and receives what Node.js has no sockets for. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Pod } from '../lab.ts';
import { type Running, startProgram } from '../traffic/traffic.ts';

/** What a flood says when it is stopped with SIGTERM. */
export interface FloodEnd {
  /** How often the kernel took what it sent, and how often not. */
  readonly sent: number;
  readonly refused: number;
  /** Why not, the last time; 0 if never. */
  readonly errno: number;
}

/** What a drain of packets says when it is stopped with SIGTERM. */
export interface DrainEnd {
  /** How many it has received. */
  readonly packets: number;
}

/** Packets of one kind that a pod received; see sniff.c. */
export interface SniffedKind {
  readonly from: string;
  readonly version: number;
  /** IP protocol number. */
  readonly protocol: number;
  readonly dscp: number;
  readonly ecn: number;
  readonly packets: number;
  /** How many had a wrong header checksum. */
  readonly wrong: number;
}

/** What a flood sends; see flood.c. */
export interface FloodOptions {
  readonly kind: string;
  readonly option?: string;
  readonly host: string;
  /** Bytes of each send. */
  readonly bytes: number;
  /** Sends per second, over all sockets. */
  readonly perSecond: number;
  readonly sockets?: number;
}

/** The compiled programs. */
export interface NativePrograms {
  startFlood(pod: Pod, options: FloodOptions): Promise<Running<FloodEnd>>;
  startDrain(pod: Pod, kind: string, family: 'ipv4' | 'ipv6'): Promise<Running<DrainEnd>>;
  /** @param tun a device that it makes, to see what the pod sends there; what the pod receives if undefined */
  startSniff(pod: Pod, tun?: string): Promise<Running<SniffedKind>>;
  remove(): Promise<void>;
}

/** Compiles them, into a directory that `remove` removes. */
export async function buildPrograms(): Promise<NativePrograms> {
  const directory = await mkdtemp(join(tmpdir(), 'podrate-lab-'));
  const build = (name: string) =>
    execa('clang', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', join(directory, name), `${name}.c`], {
      cwd: import.meta.dirname,
    });
  await Promise.all(['flood', 'drain', 'sniff'].map(build));
  return {
    startFlood: (pod, { kind, option = 'none', host, bytes, perSecond, sockets = 1 }) =>
      startProgram(pod, [join(directory, 'flood'), kind, option, host, ...[bytes, perSecond, sockets].map(String)]),
    startDrain: (pod, kind, family) =>
      startProgram(pod, [join(directory, 'drain'), kind, family === 'ipv6' ? '6' : '4']),
    startSniff: (pod, ...tun) =>
      startProgram(pod, [join(directory, 'sniff'), ...tun.filter((name) => name !== undefined)]),
    remove: () => rm(directory, { recursive: true }),
  };
}
