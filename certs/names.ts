/** The name of both webhook configurations. */
export const webhookConfiguration = 'podrate';

/** The Secret with the webhook's certificate authority. */
export const authoritySecret = 'podrate-webhook-ca';

/** The Service that the webhook configurations name. */
export const webhookService = 'podrate-webhook';

/**
 * Returns the DNS names of a Service, shortest first. The API server calls a webhook as `<service>.<namespace>.svc`;
 * the others are what a client in the cluster may use.
 */
export function serviceNames(service: string, namespace: string): string[] {
  const inNamespace = `${service}.${namespace}`;
  return [service, inNamespace, `${inNamespace}.svc`, `${inNamespace}.svc.cluster.local`];
}
