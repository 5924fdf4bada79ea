/**
 * Brings connections under pacing that are older than their limit: bpf/adopt.bpf.c, an iterator over the TCP sockets of one
 * network namespace, pinned beside the shaper where the kernel has it (Linux 5.15).
 */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { type Bpftool, BpftoolError } from './bpftool.ts';

/** The object of the iterator, beside the shaper's. */
export function adopterObject(shaperObject: string): string {
  return join(dirname(shaperObject), 'adopt.bpf.o');
}

/** Connections that were brought under their limit: paced like new ones, or (before Linux 6.12) each with the limit as its fixed rate. */
export interface Adopted {
  readonly paced: number;
  readonly fixed: number;
}

// Where libbpf looks for a map that the object names to be pinned by name; bpftool cannot be told another place.
const mapPin = '/sys/fs/bpf/podrate_sockets';
const [patienceMs, stepMs] = [10_000, 20];

/**
 * Loads the iterator and pins it at `path`. What another process is loading meanwhile is waited for.
 * @throws BpftoolError if the kernel has no such iterators, which limits do not need
 */
export async function pinAdopter(
  bpftool: Bpftool,
  { object, socketsMap, path }: { readonly object: string; readonly socketsMap: string; readonly path: string },
): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += stepMs) {
    try {
      await bpftool.run(['map', 'pin', 'pinned', socketsMap, mapPin]);
      break;
    } catch (error) {
      if (!(error instanceof BpftoolError) || !error.message.includes('File exists')) throw error;
      // A process that was killed has left it.
      if (waitedMs >= patienceMs) await rm(mapPin, { force: true });
      if (waitedMs > patienceMs) throw error;
      await sleep(stepMs);
    }
  }
  try {
    await bpftool.run(['iter', 'pin', object, path]);
  } finally {
    await rm(mapPin, { force: true });
  }
}

/**
 * Runs the pinned iterator in network namespaces. It finds connections that have sent something since the limit came.
 * @param namespaces files such as /run/netns/NAME or /proc/PID/ns/net; one that has vanished is left out
 * @throws Error if the iterator cannot be read
 */
export async function adoptConnections(path: string, namespaces: readonly string[]): Promise<Adopted> {
  let [paced, fixed] = [0, 0];
  for (const namespace of namespaces) {
    const { stdout, stderr, failed } = await execa('nsenter', [`--net=${namespace}`, 'cat', path], { reject: false });
    if (failed && !stderr.includes(namespace)) throw new Error(`connections cannot be looked at: ${stderr}`);
    for (const line of stdout.split('\n')) {
      if (line === 'c') paced += 1;
      if (line === 'f') fixed += 1;
    }
  }
  return { paced, fixed };
}
