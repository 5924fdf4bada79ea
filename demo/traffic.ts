import type { Cluster } from '../test/cluster/cluster.ts';
import type { DemoPod } from './pods.ts';
import { parseSocketSamples, type SocketSample, samplingLoop } from './socket-samples.ts';
import type { Direction } from './throughput.ts';

/** The port on which every example pod swallows what it is sent. */
const PORT = 9875;

const SAMPLE_INTERVAL_SECONDS = 0.1;

/** The other end of the traffic: a pod without a limit. */
export interface Peer {
  readonly name: string;
  readonly address: string;
}

/**
 * One TCP flow per pod, all at once, for `seconds`; what the pods' own sockets counted meanwhile, by pod name.
 * @param meanwhile Runs beside the traffic, with the moment in the node's clock before it began.
 */
export async function runTraffic(
  cluster: Cluster,
  pods: readonly DemoPod[],
  peer: Peer,
  direction: Direction,
  seconds: number,
): Promise<Map<string, SocketSample[]>> {
  const runs = pods.map(async (pod) => {
    const sampling = sampleSockets(cluster, pod, seconds + 1);
    await (direction === 'egress'
      ? send(cluster, pod.name, peer.address, seconds)
      : send(cluster, peer.name, pod.address, seconds));
    return [pod.name, await sampling] as const;
  });
  return new Map(await Promise.all(runs));
}

/** The node's clock, in seconds. */
export async function nodeClock(cluster: Cluster): Promise<number> {
  return Number((await node(cluster).exec('date +%s.%N')).stdout);
}

async function send(cluster: Cluster, from: string, toAddress: string, seconds: number): Promise<void> {
  // 143 is how `timeout` ends it; anything else is a flow that broke.
  const script = `timeout ${seconds} nc ${toAddress} ${PORT} < /dev/zero; [ $? -eq 143 ]`;
  await cluster.kubectl(['exec', from, '--', 'sh', '-c', script]);
}

async function sampleSockets(cluster: Cluster, pod: DemoPod, seconds: number): Promise<SocketSample[]> {
  const slice = `*pod${pod.uid.replaceAll('-', '_')}*`;
  const loop = samplingLoop(Math.ceil(seconds / SAMPLE_INTERVAL_SECONDS), SAMPLE_INTERVAL_SECONDS);
  const script = [
    `pid=$(find /sys/fs/cgroup/kubepods.slice -path '${slice}' -name cgroup.procs -exec cat {} + | head -n 1)`,
    `exec nsenter --target "$pid" --net timeout ${seconds} sh -c '${loop}'`,
  ].join('\n');
  // `timeout` cuts a loop that a slow node drew out; what it printed until then counts.
  return parseSocketSamples((await node(cluster).exec(script)).stdout, PORT);
}

function node(cluster: Cluster) {
  const [first] = cluster.nodes;
  if (!first) throw new Error('The cluster has no node; start it with at least one.');
  return first;
}
