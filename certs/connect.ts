import { KubeConfig } from '@kubernetes/client-node';

/** A kubeconfig that cannot be used. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  readonly code = 'certs/kubeconfig';
}

/**
 * Finds the cluster: the kubeconfig file if one is named, else the service account of the pod that this runs in.
 * @throws ConnectError
 */
export function connect(kubeconfig: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfig === undefined) {
    config.loadFromCluster();
    return config;
  }
  try {
    config.loadFromFile(kubeconfig);
  } catch (cause) {
    throw new ConnectError(
      `The kubeconfig ${kubeconfig} cannot be read (${cause instanceof Error ? cause.message : cause}).`,
      {
        cause,
      },
    );
  }
  if (config.getCurrentCluster() === null) {
    throw new ConnectError(
      `The kubeconfig ${kubeconfig} has no current context; set one with kubectl config use-context.`,
    );
  }
  return config;
}
