/** The API server's view of the pods that count: a list of one namespace, and a list and watch of all that feeds a table. */
import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { apiFailure } from '../../kube/api-failure.ts';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import { StampError, stampedLimit } from '../../rate/stamp.ts';
import { listPodMetadata, watchPodMetadata } from '../pod-metadata.ts';
import { type Amounts, amountsOf, nothing } from './amounts.ts';
import type { QuotaClock } from './clock.ts';
import { type Count, type CountedPod, createPodTable, type PodTable } from './pod-table.ts';

// What finishes leaves the selection, which a watch tells as a deletion.
const selection = {
  labelSelector: `${shapedLabel}=${shapedValue}`,
  fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
};
// Of one page. Admission waits for a count, as for ledgers; the table waits longer, for a large list on a busy API server.
const countTimeoutMs = 2_000;
const tableTimeoutMs = 10_000;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;

/** Counts the pods of one namespace anew, by a list that is not older than the call. @throws ApiFailure */
export async function countNow(kubeConfig: KubeConfig, namespace: string): Promise<Count> {
  const table = createPodTable(0, () => 0);
  const { pods, version } = await listPods(kubeConfig, namespace, countTimeoutMs);
  table.replace(pods, version);
  return table.count(namespace);
}

/** What a watch is built from. */
export interface FollowOptions {
  readonly kubeConfig: KubeConfig;
  readonly table: PodTable;
  readonly clock: QuotaClock;
  /** Called when a list or the watch failed; another try follows. */
  readonly onError: (error: unknown) => void;
  /** Wait before another try, and how long to watch before everything is listed again, in ms. */
  readonly retryMs: number;
  readonly relistMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Keeps a table of all namespaces as the API server has it, until the signal is aborted. */
export async function followPods(options: FollowOptions): Promise<void> {
  const { kubeConfig, table, clock, onError, retryMs, relistMs, signal } = options;
  while (!signal.aborted) {
    try {
      const { pods, version } = await listPods(kubeConfig, undefined, tableTimeoutMs);
      table.replace(pods, version);
      const until = clock.nowMs() + relistMs;
      // A watch ends every few minutes, and goes on where it was as long as the API server remembers that.
      while (!signal.aborted && clock.nowMs() < until && (await watchOnce(options, until))) {
        await clock.sleep(reopenMs, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      onError(error);
      await clock.sleep(retryMs, signal);
    }
  }
}

async function listPods(kubeConfig: KubeConfig, namespace: string | undefined, timeoutMs: number) {
  const pods: CountedPod[] = [];
  const onPod = (metadata: V1ObjectMeta) => void pods.push(counted(metadata));
  try {
    const version = await listPodMetadata({ kubeConfig, selection, namespace, timeoutMs, onPod });
    return { pods, version: BigInt(version) };
  } catch (error) {
    throw apiFailure('list the pods that count', error);
  }
}

// Gives whether the API server can go on from there.
async function watchOnce({ kubeConfig, table, clock, signal }: FollowOptions, until: number): Promise<boolean> {
  const timeoutSeconds = Math.max(1, Math.ceil((until - clock.nowMs()) / 1_000));
  const from = String(table.version());
  const onEvent = (type: 'put' | 'remove' | 'reach', metadata: V1ObjectMeta) => {
    if (type === 'reach') table.reach(BigInt(metadata.resourceVersion ?? 0));
    else table[type](counted(metadata));
  };
  const what = 'pods';
  const next = await watchPodMetadata({ kubeConfig, selection, what, from, timeoutSeconds, onEvent, signal });
  return next !== undefined;
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
