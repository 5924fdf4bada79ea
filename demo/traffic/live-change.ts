import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from '../../test/cluster/cluster.ts';
import type { DemoPod } from '../pods.ts';
import { type SocketSample, whileFlowing } from './socket-samples.ts';
import { secondsToSettle } from './throughput.ts';
import { clockOffset, type Peer, runTraffic } from './traffic.ts';

/** A label to change to, and the limit that it means. */
export interface NewLimit {
  readonly label: string;
  readonly limitBytesPerSecond: number;
}

/** What changing a label under traffic did. */
export interface LiveChange {
  readonly samples: readonly SocketSample[];
  /** When kubectl had changed the label, by the node's clock. */
  readonly changedAt: number;
  /** From then until the new rate held, as means over one second; undefined when it never did. */
  readonly secondsToSettle: number | undefined;
  /** Connections that were open before the change and gone after it. */
  readonly connectionsBroken: number;
}

/** Lets the pod send for `seconds`, and changes its label half-way. */
export async function changeLabelUnderTraffic(
  cluster: Cluster,
  pod: DemoPod,
  peer: Peer,
  change: NewLimit,
  seconds: number,
): Promise<LiveChange> {
  const offset = await clockOffset(cluster);
  const traffic = runTraffic(cluster, pod, peer, 'egress', seconds);
  const changed = delay((seconds / 2) * 1000).then(async () => {
    await cluster.kubectl(['label', 'pod', pod.name, '--overwrite', `rate=${change.label}`]);
    return Date.now() / 1000 + offset;
  });
  const [samples, changedAt] = await Promise.all([traffic, changed]);
  const target = change.limitBytesPerSecond;
  return {
    samples,
    changedAt,
    secondsToSettle: secondsToSettle(whileFlowing(samples), 'egress', changedAt, target, 0.1),
    connectionsBroken: brokenConnections(samples, changedAt),
  };
}

function brokenConnections(samples: readonly SocketSample[], changedAt: number): number {
  const before = samples.findLast((sample) => sample.seconds <= changedAt)?.connections ?? [];
  const after = new Set(whileFlowing(samples).at(-1)?.connections);
  return before.filter((connection) => !after.has(connection)).length;
}
