/** The API server's view of the pods that count: a list of one namespace, and what feeds a table with those of all. */
import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { StampError, stampedLimit } from '../../rate/stamp.ts';
import type { PodFollower } from '../follow-pods.ts';
import { listPodMetadata } from '../pod-metadata.ts';
import { stampedPods } from '../stamped-pods.ts';
import { type Amounts, amountsOf, nothing } from './amounts.ts';
import { type Count, type CountedPod, createPodTable, type PodTable } from './pod-table.ts';

// Of one page. Admission waits for a count, as for ledgers.
const countTimeoutMs = 4_000;

/** Counts the pods of one namespace anew, by a list that is not older than the call. @throws ApiFailure */
export async function countNow(kubeConfig: KubeConfig, namespace: string): Promise<Count> {
  const pods: CountedPod[] = [];
  const onPod = (metadata: V1ObjectMeta) => void pods.push(counted(metadata));
  const { what, ...selection } = stampedPods;
  const version = await listPodMetadata({ kubeConfig, selection, what, namespace, timeoutMs: countTimeoutMs, onPod });
  const table = createPodTable(0, () => 0);
  table.replace(pods, BigInt(version));
  return table.count(namespace);
}

/** Keeps a table as the API server has the pods with a stamp. */
export function toTable(table: PodTable): PodFollower {
  return {
    list() {
      const pods: CountedPod[] = [];
      const onEnd = (version: string) => table.replace(pods, BigInt(version));
      return { onPod: (metadata: V1ObjectMeta) => void pods.push(counted(metadata)), onEnd };
    },
    onRest: table.rest,
    onEvent(type, metadata) {
      if (type === 'reach') table.reach(BigInt(metadata.resourceVersion ?? 0));
      else table[type](counted(metadata));
    },
  };
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
