import { setTimeout as sleep } from 'node:timers/promises';
import { podHandle, type Queue } from '../../nodeagent/queue.ts';
import type { RootQueue } from '../../nodeagent/queue-state.ts';
import { settleQueues } from '../../nodeagent/queue-steps.ts';
import { createTc } from '../../nodeagent/tc.ts';
import type { Pod } from '../../test/lab/lab.ts';
import type { Testbed } from '../testbed.ts';
import type { Peer, PeerLimit } from './peer.ts';

const SLOT = 1;
const MTU = 1500;
/** When the agent looks for connections that are older than a limit (nodeagent/adoptions.ts). */
const LOOKS_AFTER_MS = [250, 800];

/** podrate's shaper and its queue on the pod's port, as the agent puts both. */
export const podrate: Peer = peer('podrate', 'podrate', true);

/** podrate where the pod has no device of its own. */
export const podratePoliced: Peer = peer('podrate-policed', 'podrate without a queue', false);

function peer(name: string, what: string, withQueue: boolean): Peer {
  return {
    name,
    what,
    async limit(bed, pod, limit) {
      const put = async ({ ingress }: PeerLimit) => withQueue && (await putQueue(bed, pod, ingress));
      await bed.shaper.attach(pod.cgroup, SLOT, { ...limit, queued: await put(limit) });
      const attached = performance.now();
      return {
        change: async (next) => bed.shaper.setLimit(SLOT, { ...next, queued: await put(next) }),
        async adopt() {
          for (const ms of LOOKS_AFTER_MS) {
            await sleep(attached + ms - performance.now());
            await bed.shaper.adopt(pod);
          }
        },
        async remove() {
          await bed.shaper.detach(pod.cgroup);
          await put({});
        },
      };
    },
  };
}

/** Makes the queue have a rate. @param rate undefined for no queue @returns whether there is one */
async function putQueue(
  { shaper }: Testbed,
  { hubNetnsPath, hubPort }: Pod,
  rate: number | undefined,
): Promise<boolean> {
  const wanted = new Map<string, Queue>();
  const classifier = await shaper.classifier();
  if (rate !== undefined) wanted.set(hubPort, { rate, mtu: MTU, slot: SLOT, classifier });
  const isOfPod = ({ device }: RootQueue) => device === hubPort;
  const { failed } = await settleQueues(createTc(hubNetnsPath), podHandle, wanted, isOfPod);
  for (const error of failed.values()) throw error;
  return rate !== undefined;
}
