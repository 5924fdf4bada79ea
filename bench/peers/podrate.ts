import type { Peer } from './peer.ts';

const SLOT = 1;

/** podrate's shaper, attached as the agent attaches it. */
export const podrate: Peer = {
  name: 'podrate',
  what: 'podrate',
  async limit(bed, pod, limit) {
    await bed.shaper.attach(pod.cgroup, SLOT, limit);
    return {
      change: (next) => bed.shaper.setLimit(SLOT, next),
      remove: () => bed.shaper.detach(pod.cgroup),
    };
  },
};
