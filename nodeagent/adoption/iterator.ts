/**
 * Brings connections under pacing that are older than their limit: bpf/adopt.bpf.c, an iterator over the TCP sockets of
 * the reader's network namespace, pinned beside the programs where the kernel has it (Linux 5.15).
 */
import { readFileSync } from 'node:fs';
import { inNetworkNamespace } from '../libbpf/namespace.ts';

/**
 * Connections that were brought under their limit: paced like new ones, or (before Linux 6.12) each with the limit as its
 * fixed rate.
 */
export interface Adopted {
  readonly paced: number;
  readonly fixed: number;
}

/**
 * Runs the pinned iterator in network namespaces. It finds connections that have sent something since the limit came.
 * @param path of the pin; undefined where the kernel has no such iterator
 * @param namespaces files such as /run/netns/NAME or /proc/PID/ns/net; one that has vanished is left out
 * @returns undefined without an iterator
 * @throws Error if a namespace cannot be entered, which takes CAP_SYS_ADMIN, or if the iterator cannot be read
 */
export function adoptConnections(path: string, namespaces: readonly string[]): Adopted;
export function adoptConnections(path: string | undefined, namespaces: readonly string[]): Adopted | undefined;
export function adoptConnections(path: string | undefined, namespaces: readonly string[]): Adopted | undefined {
  if (path === undefined) return undefined;
  let paced = 0;
  let fixed = 0;
  for (const namespace of namespaces) {
    const lines = inNetworkNamespace(namespace, () => readFileSync(path, 'utf8')) ?? '';
    for (const line of lines.split('\n')) {
      if (line === 'c') paced += 1;
      if (line === 'f') fixed += 1;
    }
  }
  return { paced, fixed };
}
