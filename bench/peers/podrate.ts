import { setTimeout as sleep } from 'node:timers/promises';
import type { Peer } from './peer.ts';

const SLOT = 1;
/** When the agent looks for connections that are older than a limit (nodeagent/adoptions.ts). */
const LOOKS_AFTER_MS = [250, 800];

/** podrate's shaper, attached as the agent attaches it. */
export const podrate: Peer = {
  name: 'podrate',
  what: 'podrate',
  async limit(bed, pod, limit) {
    await bed.shaper.attach(pod.cgroup, SLOT, limit);
    const attached = performance.now();
    return {
      change: (next) => bed.shaper.setLimit(SLOT, next),
      async adopt() {
        for (const ms of LOOKS_AFTER_MS) {
          await sleep(attached + ms - performance.now());
          await bed.shaper.adopt(pod);
        }
      },
      remove: () => bed.shaper.detach(pod.cgroup),
    };
  },
};
