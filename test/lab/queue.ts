import { podHandle, type Queue } from '../../nodeagent/ingress-queue/htb.ts';
import { type RootQueue, settleQueues } from '../../nodeagent/ingress-queue/settle.ts';
import { listLinks } from '../../nodeagent/net/links.ts';
import { withNetlink } from '../../nodeagent/net/netlink.ts';
import type { PodNetwork } from './network.ts';
import type { LabLimit, LoadedShaper } from './shaper.ts';

const MTU = 1500;

/** A pod whose limit can be put on and off. */
export interface LimitablePod extends PodNetwork {
  readonly cgroup: { readonly path: string; readonly id: bigint };
}

/** Limits a pod with its ingress queue, as the agent does. */
export async function limitPod(shaper: LoadedShaper, pod: LimitablePod, slot: number, limit: LabLimit): Promise<void> {
  await shaper.attach(pod.cgroup, slot, { ...limit, queued: await putQueue(shaper, pod, slot, limit.ingress) });
}

/** Removes what `limitPod` has put on. */
export async function unlimitPod(shaper: LoadedShaper, pod: LimitablePod): Promise<void> {
  await shaper.detach(pod.cgroup);
  await putQueue(shaper, pod, 0, undefined);
}

/**
 * Makes the queue on the host's end of the pod's device have a rate.
 *
 * @param rate undefined for no queue
 * @returns whether there is one
 * @throws NetlinkError
 */
export async function putQueue(
  shaper: LoadedShaper,
  { hubNetnsPath, hubPort }: PodNetwork,
  slot: number,
  rate: number | undefined,
): Promise<boolean> {
  const links = withNetlink(hubNetnsPath, (netlink) => listLinks(netlink)) ?? [];
  const port = links.find(({ name }) => name === hubPort)?.index ?? 0;
  const wanted = new Map<number, Queue>();
  if (rate !== undefined) wanted.set(port, { rate, mtu: MTU, slot, classifier: await shaper.classifier() });
  const scope = { namespace: hubNetnsPath, handle: podHandle, pick: ({ index }: RootQueue) => index === port };
  const { failed } = settleQueues(scope, wanted);
  for (const error of failed.values()) throw error;
  return rate !== undefined;
}
