import type { Pod } from '../../test/lab/lab.ts';
import type { MixtureScenario } from '../scenario.ts';
import type { Testbed } from '../testbed/testbed.ts';

/** The pods of a mixture by role. */
export interface Roles {
  readonly limited: Pod;
  /** The other end of the long flows. */
  readonly bulkPeer: Pod;
  /** The other end of requests. */
  readonly peer: Pod;
  /** Who floods. */
  readonly flooder: Pod;
}

/** Assigns the roles. All traffic that counts against the limit arrives at a pod with the meter. */
export function rolesOf({ pods }: Testbed, { direction, path, flood }: MixtureScenario): Roles {
  if (direction === 'ingress') {
    if (path === 'far') return { limited: pods.b, bulkPeer: pods.far, peer: pods.far, flooder: pods.far };
    // A flood of SYN or ACK takes its own source's part of the limit, so requests come from another one.
    return { limited: pods.b, bulkPeer: pods.a, peer: flood ? pods.a : pods.c, flooder: pods.c };
  }
  const peer = path === 'far' ? pods.far : pods.b;
  return { limited: pods.a, bulkPeer: peer, peer, flooder: pods.a };
}
