import type { Pod } from '../../test/lab/lab.ts';
import type { MixtureScenario } from '../scenario.ts';
import type { Testbed } from '../testbed.ts';

/** The pods of a mixture by role. */
export interface Roles {
  readonly limited: Pod;
  /** The other end of the long flows. */
  readonly bulkPeer: Pod;
  /** The other end of all other traffic. */
  readonly peer: Pod;
}

/** Assigns the roles. All traffic that counts against the limit arrives at a pod with the meter. */
export function rolesOf({ pods }: Testbed, { direction, path }: MixtureScenario): Roles {
  if (direction === 'ingress') {
    if (path === 'far') return { limited: pods.b, bulkPeer: pods.far, peer: pods.far };
    return { limited: pods.b, bulkPeer: pods.a, peer: pods.c };
  }
  const peer = path === 'far' ? pods.far : pods.b;
  return { limited: pods.a, bulkPeer: peer, peer };
}
