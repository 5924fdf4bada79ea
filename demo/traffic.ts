import type { Direction } from '../rate/limit.ts';
import type { Cluster } from '../test/cluster/cluster.ts';
import { nodeOf } from './node.ts';
import type { DemoPod } from './pods.ts';
import { parseSocketSamples, type SocketSample } from './socket-samples.ts';

/** The port on which every example pod swallows what it is sent. */
const PORT = 9875;

const SAMPLE_INTERVAL_SECONDS = 0.1;

/**
 * A flow begins when kubectl and the runtime have started its process, which takes a slow node seconds. The samples end
 * with it.
 */
const START_SECONDS = 60;

/** The other end of the traffic: a pod without a limit. */
export interface Peer {
  readonly name: string;
  readonly address: string;
}

/** One TCP flow between the pod and its peer for `seconds`; what the pod's own sockets counted meanwhile. */
export async function runTraffic(
  cluster: Cluster,
  pod: DemoPod,
  peer: Peer,
  direction: Direction,
  seconds: number,
): Promise<SocketSample[]> {
  const [from, to] = direction === 'egress' ? [pod, peer] : [peer, pod];
  const [samples] = await Promise.all([
    sampleSockets(cluster, pod, seconds + START_SECONDS),
    send(cluster, from.name, to.address, seconds),
  ]);
  return samples;
}

/** How far the node's clock is ahead of this machine's, in seconds; at most the way of an answer too small. */
export async function clockOffset(cluster: Cluster): Promise<number> {
  const { stdout } = await nodeOf(cluster).exec('date +%s.%N');
  return Number(stdout) - Date.now() / 1000;
}

async function send(cluster: Cluster, from: string, toAddress: string, seconds: number): Promise<void> {
  // 143 is how `timeout` ends it; anything else is a flow that broke.
  const script = `timeout ${seconds} nc ${toAddress} ${PORT} < /dev/zero; [ $? -eq 143 ]`;
  await cluster.kubectl(['exec', from, '--', 'sh', '-c', script]);
}

async function sampleSockets(cluster: Cluster, pod: DemoPod, seconds: number): Promise<SocketSample[]> {
  const slice = `*pod${pod.uid.replaceAll('-', '_')}*`;
  const script = [
    `pid=$(find /sys/fs/cgroup/kubepods.slice -path '${slice}' -name cgroup.procs -exec cat {} + | head -n 1)`,
    `exec nsenter --target "$pid" --net tcp-counters ${PORT} ${seconds} ${SAMPLE_INTERVAL_SECONDS}`,
  ].join('\n');
  return parseSocketSamples((await nodeOf(cluster).exec(script)).stdout);
}
