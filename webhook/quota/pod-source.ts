/** The API server's view of the pods that count: a list of one namespace, and a list and watch of all that feeds a table. */
import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import { StampError, stampedLimit } from '../../rate/stamp.ts';
import { followPods } from '../follow-pods.ts';
import type { KeepTryingOptions } from '../keep-trying.ts';
import { listPodMetadata } from '../pod-metadata.ts';
import { type Amounts, amountsOf, nothing } from './amounts.ts';
import { type Count, type CountedPod, createPodTable, type PodTable } from './pod-table.ts';

// What finishes leaves the selection, which a watch tells as a deletion.
const selection = {
  labelSelector: `${shapedLabel}=${shapedValue}`,
  fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
};
const what = 'the pods that count';
// Of one page. Admission waits for a count, as for ledgers.
const countTimeoutMs = 4_000;

/** Counts the pods of one namespace anew, by a list that is not older than the call. @throws ApiFailure */
export async function countNow(kubeConfig: KubeConfig, namespace: string): Promise<Count> {
  const pods: CountedPod[] = [];
  const onPod = (metadata: V1ObjectMeta) => void pods.push(counted(metadata));
  const version = await listPodMetadata({ kubeConfig, selection, what, namespace, timeoutMs: countTimeoutMs, onPod });
  const table = createPodTable(0, () => 0);
  table.replace(pods, BigInt(version));
  return table.count(namespace);
}

/** What a table is kept with. */
export interface FollowCountedOptions extends KeepTryingOptions {
  readonly kubeConfig: KubeConfig;
  readonly table: PodTable;
  /** How long to watch before everything is listed again, in ms. */
  readonly relistMs: number;
}

/** Keeps a table of all namespaces as the API server has it, until the signal is aborted. */
export function followCountedPods(options: FollowCountedOptions): Promise<void> {
  const { table } = options;
  const list = () => {
    const pods: CountedPod[] = [];
    const onEnd = (version: string) => table.replace(pods, BigInt(version));
    return { onPod: (metadata: V1ObjectMeta) => void pods.push(counted(metadata)), onEnd };
  };
  const onEvent = (type: 'put' | 'remove' | 'reach', metadata: V1ObjectMeta) => {
    if (type === 'reach') table.reach(BigInt(metadata.resourceVersion ?? 0));
    else table[type](counted(metadata));
  };
  return followPods({ ...options, selection, what, follower: { list, onEvent } });
}

function counted(metadata: V1ObjectMeta): CountedPod {
  const { namespace = '', name = '', uid = '', resourceVersion = '0' } = metadata;
  return { namespace, name, uid, version: BigInt(resourceVersion), amounts: stamped(metadata) };
}

// A stamp that the webhook did not write limits nothing, and so counts for nothing.
function stamped(metadata: V1ObjectMeta): Amounts {
  try {
    return amountsOf(stampedLimit(metadata as Parameters<typeof stampedLimit>[0]));
  } catch (error) {
    if (error instanceof StampError) return nothing;
    throw error;
  }
}
