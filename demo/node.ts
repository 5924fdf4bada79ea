import type { Cluster } from '../test/cluster/cluster.ts';
import type { ClusterNode } from '../test/cluster/control-plane/access.ts';

/**
 * The node that everything runs on.
 *
 * @throws Error when the cluster is a control plane only.
 */
export function nodeOf(cluster: Cluster): ClusterNode {
  const [first] = cluster.nodes;
  if (!first) throw new Error('The cluster has no node; start it with at least one.');
  return first;
}
