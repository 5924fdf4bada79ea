import { afterAll, beforeAll } from 'vitest';
import { type Cluster, startCluster } from '../../cluster/cluster.ts';
import { certificateView } from './certificate-view.ts';
import { type HostWebhook, installReplicas } from './webhook.ts';

/** The folder of the manifests. */
export const manifests = new URL('../../../manifests', import.meta.url).pathname;

/** Runs a cluster with two replicas of the webhook on the host, for the tests of a file. */
export function useTwoReplicas() {
  let running: Cluster | undefined;
  const replicas: HostWebhook[] = [];
  const cluster = () => running as Cluster;

  beforeAll(async () => {
    running = await startCluster({ nodes: 0 });
    replicas.push(...(await installReplicas(running, 2)));
  });

  const stopReplicas = () => Promise.all(replicas.map((replica) => replica.stop()));
  afterAll(async () => {
    await stopReplicas();
    await running?.stop();
  });

  return {
    cluster,
    replicas: replicas as readonly HostWebhook[],
    stopReplicas,
    view: certificateView(cluster),
    /** Runs kubectl, whatever its exit status. */
    kubectl: (...args: string[]) => cluster().kubectl(args, { reject: false }),
  };
}
