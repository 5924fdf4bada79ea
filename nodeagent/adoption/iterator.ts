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
 * @param path of the pin
 * @param namespaces files such as /run/netns/NAME or /proc/PID/ns/net; one that has vanished is left out
 * @throws Error if a namespace cannot be entered, which takes CAP_SYS_ADMIN, or if the iterator cannot be read
 */
export function adoptConnections(path: string, namespaces: readonly string[]): Adopted {
  const texts = namespaces.map((file) => inNetworkNamespace(file, () => readFileSync(path, 'utf8')) ?? '');
  const lines = texts.flatMap((text) => text.split('\n'));
  return { paced: lines.filter((line) => line === 'c').length, fixed: lines.filter((line) => line === 'f').length };
}
