import { drop, thesis } from './bucket.ts';
import { cni, cniSane } from './cni.ts';
import { htb } from './htb.ts';
import { none } from './none.ts';
import type { Peer } from './peer.ts';
import { podrate, podratePoliced } from './podrate.ts';

/** Everybody who is compared, in the order of the tables. */
export const allPeers = {
  podrate,
  'podrate-policed': podratePoliced,
  cni,
  'cni-sane': cniSane,
  htb,
  drop,
  thesis,
  none,
} satisfies Record<string, Peer>;

/** The name of a peer. */
export type PeerName = keyof typeof allPeers;
