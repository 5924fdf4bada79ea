import { CoreV1Api, type KubeConfig, type V1ManagedFieldsEntry, type V1ObjectMeta } from '@kubernetes/client-node';
import { apiFailure } from '../../kube/api-failure.ts';
import { eachItem, type PageQuery } from '../../kube/pages.ts';
import { requestOptions } from '../../kube/request-options.ts';
import { modeLabel, policyPrefix } from '../../rate/policy.ts';
import { metadataOnly } from '../pod-metadata.ts';

/** A namespace with a policy. */
export interface PolicyNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The second from which on its pods met the policy as it is, in ms since 1970; undefined if that is not known. */
  readonly sinceMs: number | undefined;
}

const timeoutMs = 10_000;

/** Lists the namespaces with a policy. @throws ApiFailure */
export async function listPolicyNamespaces(kubeConfig: KubeConfig): Promise<PolicyNamespace[]> {
  const api = kubeConfig.makeApiClient(CoreV1Api);
  const found: PolicyNamespace[] = [];
  const fetchPage = (page: PageQuery) => {
    const request = requestOptions(timeoutMs, { Accept: metadataOnly('PartialObjectMetadataList') });
    return api.listNamespace({ labelSelector: modeLabel, ...page }, request);
  };
  try {
    await eachItem(fetchPage, ({ metadata }) => found.push(policyNamespace(metadata ?? {})));
  } catch (error) {
    throw apiFailure('list the namespaces with a policy', error);
  }
  return found;
}

/** Takes of a namespace's metadata what matters here. */
export function policyNamespace(metadata: V1ObjectMeta): PolicyNamespace {
  const { name = '', labels = {}, managedFields = [] } = metadata;
  const writtenMs = managedFields.filter(isOfPolicy).map(({ time }) => time?.getTime() ?? Number.NaN);
  const lastMs = writtenMs.length === 0 ? Number.NaN : Math.max(...writtenMs);
  return { name, labels, sinceMs: Number.isNaN(lastMs) ? undefined : lastMs };
}

// Whoever wrote a label is recorded with the time of the last change of anything that is theirs: not before the label's.
function isOfPolicy({ fieldsV1 }: V1ManagedFieldsEntry): boolean {
  const fields: { 'f:metadata'?: { 'f:labels'?: object } } = fieldsV1 ?? {};
  return Object.keys(fields['f:metadata']?.['f:labels'] ?? {}).some((key) => key.startsWith(`f:${policyPrefix}`));
}
