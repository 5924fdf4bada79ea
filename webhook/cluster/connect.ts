import { KubeConfig } from '@kubernetes/client-node';
import { withSharedConnections } from '../../kube/shared-connections.ts';
import { ConfigError } from '../config.ts';

/**
 * Finds the API server.
 * @param kubeconfig a file; undefined in a pod, whose service account is used
 * @throws ConfigError outside of a cluster, if no file is named
 */
export function connect(
  kubeconfig: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
  else if (environment.KUBERNETES_SERVICE_HOST !== undefined) config.loadFromCluster();
  else throw new ConfigError('Outside of a cluster, --kubeconfig is needed.');
  return withSharedConnections(config, () => performance.now());
}
