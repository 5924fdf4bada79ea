/** The API server's view of namespaces: one as it is now. */
import { KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { callUnless } from '../kube/api-failure.ts';
import { readObject } from '../kube/objects.ts';
import { withSharedConnections } from '../kube/shared-connections.ts';
import type { Labels } from '../rate/limit.ts';
import { rereadToken } from './token-file.ts';

/** What matters of a namespace. */
export interface SeenNamespace {
  readonly labels: Labels;
  /** Whether it is being deleted. */
  readonly isEnding: boolean;
}

const schema = z.object({
  metadata: z.object({
    labels: z.record(z.string(), z.string()).nullish(),
    deletionTimestamp: z.string().nullish(),
  }),
});

// Part of what API servers wait for the webhook, so that an admission does not fail because of one read.
const timeoutMs = 2_000;

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
  rereadToken(config, () => performance.now());
  return withSharedConnections(config, () => performance.now());
}

/**
 * Reads namespaces from the API server, undefined where there is none, and never older than the call. A watch would lag: a policy that
 * was applied just before a pod might not have come yet. A GET without a resource version is answered from the quorum of etcd, so the
 * pod sees whatever was written before it. The reader throws ApiFailure.
 */
export function readNamespaces(kubeConfig: KubeConfig): (name: string) => Promise<SeenNamespace | undefined> {
  return (name) =>
    callUnless([404], `read namespace ${name}`, async () => {
      const object = await readObject(kubeConfig, `/api/v1/namespaces/${encodeURIComponent(name)}`, timeoutMs);
      const { labels, deletionTimestamp } = schema.parse(object).metadata;
      return { labels: labels ?? {}, isEnding: Boolean(deletionTimestamp) };
    });
}
