import type { Pod } from '../../test/lab/lab.ts';
import type { Testbed } from '../testbed/testbed.ts';

/** Bytes per second for one pod; a direction that is absent has no limit. */
export interface PeerLimit {
  readonly egress?: number;
  readonly ingress?: number;
}

/** A limit that is in force. */
export interface InForce {
  /** Changes the limit of a running pod, where the peer can. */
  change?(limit: PeerLimit): Promise<void>;
  /** Does what it takes, if anything, to bring connections under the limit that are older than it. */
  adopt?(): Promise<void>;
  remove(): Promise<void>;
}

/** One way to limit a pod. */
export interface Peer {
  readonly name: string;
  /** What it is, in one line. */
  readonly what: string;
  /** Puts the limit on a pod of the testbed. */
  limit(bed: Testbed, pod: Pod, limit: PeerLimit): Promise<InForce>;
}
