/**
 * The DNS names of a Service, shortest first. The API server calls a webhook as `<service>.<namespace>.svc`; the others are what
 * a client in the cluster may use.
 */
export function serviceNames(service: string, namespace: string): string[] {
  const inNamespace = `${service}.${namespace}`;
  return [service, inNamespace, `${inNamespace}.svc`, `${inNamespace}.svc.cluster.local`];
}
