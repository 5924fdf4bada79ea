import { setTimeout as sleep } from 'node:timers/promises';
import { putQueue } from '../../test/lab/queue.ts';
import type { Peer, PeerLimit } from './peer.ts';

const SLOT = 1;
/** When the agent looks for connections that are older than a limit (nodeagent/adoption/scheduler.ts). */
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
      const put = async ({ ingress }: PeerLimit) => withQueue && (await putQueue(bed.shaper, pod, SLOT, ingress));
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
