import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from '../test/cluster/cluster.ts';
import type { DemoPod } from './pods.ts';
import type { SocketSample } from './socket-samples.ts';
import { secondsToSettle, throughputOverTime } from './throughput.ts';
import { nodeClock, type Peer, runTraffic } from './traffic.ts';

/** What changing a label under traffic did. */
export interface LiveChange {
  readonly samples: readonly SocketSample[];
  /** The node's clock just before kubectl was started. */
  readonly changedAt: number;
  /** From then until the rate stayed within a tenth of the new limit; undefined when it never did. */
  readonly secondsToSettle: number | undefined;
  /** Connections that were open before the change and gone after it. */
  readonly connectionsBroken: number;
}

/** Windows shorter than this show TCP's own packet trains rather than the rate. */
const WINDOW_SECONDS = 0.25;

/** Lets the pod send for `seconds`, and changes its label to `label` after a third of them. */
export async function changeLabelUnderTraffic(
  cluster: Cluster,
  pod: DemoPod,
  peer: Peer,
  change: { readonly label: string; readonly limitBytesPerSecond: number },
  seconds: number,
): Promise<LiveChange> {
  const traffic = runTraffic(cluster, [pod], peer, 'egress', seconds);
  const changed = delay((seconds / 3) * 1000).then(async () => {
    const changedAt = await nodeClock(cluster);
    await cluster.kubectl(['label', 'pod', pod.name, '--overwrite', `rate=${change.label}`]);
    return changedAt;
  });
  const [samplesByPod, changedAt] = await Promise.all([traffic, changed]);
  const samples = samplesByPod.get(pod.name) ?? [];
  const windows = throughputOverTime(whileFlowing(samples), 'egress', WINDOW_SECONDS);
  return {
    samples,
    changedAt,
    secondsToSettle: secondsToSettle(windows, changedAt, change.limitBytesPerSecond, 0.1),
    connectionsBroken: brokenConnections(samples, changedAt),
  };
}

function whileFlowing(samples: readonly SocketSample[]): SocketSample[] {
  return samples.filter((sample) => sample.connections.length > 0);
}

function brokenConnections(samples: readonly SocketSample[], changedAt: number): number {
  const before = samples.findLast((sample) => sample.seconds <= changedAt)?.connections ?? [];
  const after = new Set(whileFlowing(samples).at(-1)?.connections);
  return before.filter((connection) => !after.has(connection)).length;
}
