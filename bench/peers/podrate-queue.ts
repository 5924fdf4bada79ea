import { podHandle, type Queue } from '../../nodeagent/queue.ts';
import { settleQueues } from '../../nodeagent/queue-steps.ts';
import { createTc } from '../../nodeagent/tc.ts';
import type { Peer, PeerLimit } from './peer.ts';

const SLOT = 1;
const MTU = 1500;

/** podrate's shaper behind its queue on the pod's port, as an agent with --ingress-queue puts both. */
export const podrateQueue: Peer = {
  name: 'podrate-queue',
  what: 'podrate with --ingress-queue',
  async limit(bed, pod, limit) {
    const tc = createTc(pod.hubNetnsPath);
    const put = async ({ ingress }: PeerLimit) => {
      const wanted = new Map<string, Queue>();
      if (ingress !== undefined) wanted.set(pod.hubPort, { rate: ingress, mtu: MTU });
      const { failed } = await settleQueues(tc, podHandle, wanted);
      for (const error of failed.values()) throw error;
      return ingress !== undefined;
    };
    await bed.shaper.attach(pod.cgroup, SLOT, { ...limit, queued: await put(limit) });
    return {
      change: async (next) => bed.shaper.setLimit(SLOT, { ...next, queued: await put(next) }),
      async remove() {
        await bed.shaper.detach(pod.cgroup);
        await settleQueues(tc, podHandle, new Map());
      },
    };
  },
};
