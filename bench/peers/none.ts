import type { Peer } from './peer.ts';

/** Nobody limits: what the machine can do. */
export const none: Peer = {
  name: 'none',
  what: 'no limit',
  limit: async () => ({ remove: async () => {} }),
};
