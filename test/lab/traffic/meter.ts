import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { PodNetwork } from '../network.ts';

/** What has passed a device since the lab was made. */
export interface Reading {
  /** IP bytes on the wire; a GSO packet counts the headers of all its segments. */
  ipBytes: number;
  packets: number;
  atMs: number;
}

const ETHERNET_HEADER = 14;

/** What has left the pod's eth0, that is, what its egress limit let pass. */
export const readSent = (pod: PodNetwork): Promise<Reading> => readDevice(pod.netnsPath, 'eth0');

/** What was delivered to the pod's eth0, before its ingress limit has judged it. */
export const readDelivered = (pod: PodNetwork): Promise<Reading> => readDevice(pod.hubNetnsPath, pod.hubPort);

/** The mean rate between two readings, in IP bytes per second. */
export function meanRate(from: Reading, to: Reading): number {
  return ((to.ipBytes - from.ipBytes) * 1000) / (to.atMs - from.atMs);
}

/** The mean rate of what `read` reads, over the next `ms` milliseconds. */
export async function measureRate(read: () => Promise<Reading>, ms: number): Promise<number> {
  const from = await read();
  await sleep(ms);
  return meanRate(from, await read());
}

/** TCP segments that the pod's namespace has sent again. */
export const readRetransmits = (pod: PodNetwork): Promise<number> => readStatistic(pod, 'Tcp', 'RetransSegs');

/** One number of the namespace's /proc/net/snmp. */
export async function readStatistic(pod: PodNetwork, protocol: 'Tcp' | 'Udp', name: string): Promise<number> {
  const { stdout } = await execa('nsenter', [`--net=${pod.netnsPath}`, 'cat', '/proc/net/snmp']);
  const [names, values] = stdout
    .split('\n')
    .filter((line) => line.startsWith(`${protocol}:`))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf(name) ?? -1]);
}

/** The clsact qdisc counts what leaves the device, in segments; its bytes include the Ethernet header. */
async function readDevice(netnsPath: string, device: string): Promise<Reading> {
  const { stdout } = await execa('nsenter', [
    `--net=${netnsPath}`,
    'tc',
    '-json',
    '-statistics',
    'qdisc',
    'show',
    'dev',
    device,
    'clsact',
  ]);
  const atMs = performance.now();
  const clsact = (JSON.parse(stdout) as { kind: string; bytes: number; packets: number }[]).find(
    (qdisc) => qdisc.kind === 'clsact',
  );
  if (!clsact) throw new Error(`no clsact qdisc on ${device}`);
  return { ipBytes: clsact.bytes - clsact.packets * ETHERNET_HEADER, packets: clsact.packets, atMs };
}
