import { KubeConfig } from '@kubernetes/client-node';
import { withSharedConnections } from '../../kube/shared-connections.ts';

/**
 * Finds the API server.
 * @param kubeconfig a file; undefined in a pod, whose service account is used
 * @returns undefined outside of a cluster, if no file is named
 */
export function connect(
  kubeconfig: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): KubeConfig | undefined {
  const config = new KubeConfig();
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
  else if (environment.KUBERNETES_SERVICE_HOST !== undefined) config.loadFromCluster();
  else return undefined;
  return withSharedConnections(config, () => performance.now());
}
