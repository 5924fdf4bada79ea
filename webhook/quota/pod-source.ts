/** The pods that count: a list of one namespace's, and a watch that keeps a table of all. */
import type { KubeConfig } from '@kubernetes/client-node';
import { type Collection, listMetadata, type ObjectMeta } from '../../kube/list.ts';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import { readStamp } from '../../rate/stamp.ts';
import type { InformerHandler } from '../cluster/informer.ts';
import { amountsOf } from './amounts.ts';
import { type Count, type CountedPod, createPodTable, type PodTable } from './pod-table.ts';

/**
 * The unfinished pods with the stamp's label. A pod that finishes leaves the selection, which a watch reports as a
 * deletion.
 */
export const stampedPods: Omit<Collection, 'kubeConfig'> = {
  path: '/api/v1/pods',
  selection: {
    labelSelector: `${shapedLabel}=${shapedValue}`,
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
  },
  what: 'the pods with a stamp',
};

/** Counts the pods of one namespace by a list that is not older than the call. @throws ApiFailure */
export async function countNow(kubeConfig: KubeConfig, namespace: string): Promise<Count> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const { items, version } = await listMetadata({ ...stampedPods, kubeConfig, path }, counted);
  const table = createPodTable(0, { nowMs: () => 0, dateMs: Date.now });
  table.replace(items, BigInt(version));
  return table.count(namespace);
}

/** Returns an informer's handler that keeps a table up to date. */
export function toTable(table: PodTable): InformerHandler<CountedPod> {
  return { ...table, parse: counted };
}

function counted(metadata: ObjectMeta): CountedPod {
  const { namespace = '', name = '', uid = '', resourceVersion = '0', deletionTimestamp } = metadata;
  // A stamp that the webhook did not write limits nothing, and so counts for nothing.
  const amounts = amountsOf(readStamp(metadata));
  const pod = { namespace, name, uid, version: BigInt(resourceVersion), amounts };
  if (deletionTimestamp === undefined) return pod;
  // As ResourceQuota: the grace period once more after the time at which the pod should have ended.
  const graceMs = (metadata.deletionGracePeriodSeconds ?? 0) * 1_000;
  return { ...pod, endsMs: Date.parse(deletionTimestamp) + graceMs };
}
