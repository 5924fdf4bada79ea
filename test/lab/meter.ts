import { execa } from 'execa';
import type { PodNetwork } from './network.ts';

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

/** TCP segments that the pod's namespace has sent again. */
export async function readRetransmits(pod: PodNetwork): Promise<number> {
  const { stdout } = await execa('nsenter', [`--net=${pod.netnsPath}`, 'cat', '/proc/net/snmp']);
  const [names, values] = stdout
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('RetransSegs') ?? -1]);
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
