/** The API server's view of the pods that count: a list of one namespace, and a list and watch of all that feeds a table. */
import { CoreV1Api, type KubeConfig, type RequestContext, type V1ObjectMeta, Watch } from '@kubernetes/client-node';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import { StampError, stampedLimit } from '../../rate/stamp.ts';
import { type Amounts, amountsOf, nothing } from './amounts.ts';
import { apiFailure, requestOptions } from './api-call.ts';
import type { QuotaClock } from './clock.ts';
import { type Count, type CountedPod, createPodTable, type PodTable } from './pod-table.ts';

// Only metadata is sent, a hundredth of some pods. What finishes leaves the selection, which a watch tells as a deletion.
const accept = (kind: string) => `application/json;as=${kind};g=meta.k8s.io;v=v1`;
const selection = {
  labelSelector: `${shapedLabel}=${shapedValue}`,
  fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
};
const timeoutMs = 3_000;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;

/** How many pods one page of a list has. */
export const pageSize = 500;

/** Counts the pods of one namespace anew, by a list that is not older than the call. @throws QuotaError */
export async function countNow(kubeConfig: KubeConfig, namespace: string): Promise<Count> {
  const table = createPodTable(0, () => 0);
  const { pods, version } = await listPods(kubeConfig, namespace);
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
      const { pods, version } = await listPods(kubeConfig, undefined);
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

async function listPods(kubeConfig: KubeConfig, namespace: string | undefined) {
  const api = kubeConfig.makeApiClient(CoreV1Api);
  const options = () => requestOptions(timeoutMs, accept('PartialObjectMetadataList'));
  const pods: CountedPod[] = [];
  let version = 0n;
  let page: string | undefined;
  try {
    do {
      const query = { ...selection, limit: pageSize, ...(page === undefined ? {} : { _continue: page }) };
      const { items, metadata } = await (namespace === undefined
        ? api.listPodForAllNamespaces(query, options())
        : api.listNamespacedPod({ namespace, ...query }, options()));
      // Null, not empty, where there is none.
      for (const pod of items ?? []) pods.push(counted(pod.metadata));
      version = BigInt(metadata?.resourceVersion ?? 0);
      page = metadata?._continue || undefined;
    } while (page !== undefined);
  } catch (error) {
    throw apiFailure('list the pods that count', error);
  }
  return { pods, version };
}

// Gives whether the API server can go on from there.
async function watchOnce({ kubeConfig, table, clock, signal }: FollowOptions, until: number): Promise<boolean> {
  const timeoutSeconds = Math.max(1, Math.ceil((until - clock.nowMs()) / 1_000));
  const resourceVersion = String(table.version());
  const query = { ...selection, allowWatchBookmarks: true, resourceVersion, timeoutSeconds };
  return new Promise<boolean>((resolve, reject) => {
    let fault: Error | undefined;
    let isGone = false;
    let isDone = false;
    const onEvent = (type: string, object: { metadata?: V1ObjectMeta; code?: number; message?: string }) => {
      if (type === 'ERROR' && object.code === 410) isGone = true;
      else if (type === 'ERROR') fault = new Error(`The watch of pods ended: ${object.message}`);
      else if (type === 'BOOKMARK') table.reach(BigInt(object.metadata?.resourceVersion ?? 0));
      else if (type === 'DELETED') table.remove(counted(object.metadata));
      else table.put(counted(object.metadata));
    };
    let abort = () => {};
    const onDone = (error: (Error & { statusCode?: number }) | null) => {
      isDone = true;
      signal.removeEventListener('abort', abort);
      if (error?.statusCode === 410) isGone = true;
      // Half a minute without an event is no fault.
      const isFailure = error !== null && error.name !== 'TimeoutError' && !isGone;
      const failure = fault ?? (isFailure ? error : undefined);
      if (failure !== undefined && !signal.aborted) reject(failure);
      else resolve(!isGone);
    };
    void new Watch(metadataOnly(kubeConfig)).watch('/api/v1/pods', query, onEvent, onDone).then((controller) => {
      abort = () => controller.abort();
      if (signal.aborted) abort();
      else if (!isDone) signal.addEventListener('abort', abort);
    }, reject);
  });
}

// client-node's Watch has no option for headers; it asks its configuration for those of authentication.
function metadataOnly(kubeConfig: KubeConfig): KubeConfig {
  return Object.assign(Object.create(kubeConfig), {
    async applySecurityAuthentication(context: RequestContext) {
      await kubeConfig.applySecurityAuthentication(context);
      context.setHeaderParam('Accept', accept('PartialObjectMetadata'));
    },
  });
}

function counted(metadata: V1ObjectMeta | undefined): CountedPod {
  const { namespace = '', name = '', uid = '', resourceVersion = '0' } = metadata ?? {};
  return { namespace, name, uid, version: BigInt(resourceVersion), amounts: stamped(metadata) };
}

// A stamp that the webhook did not write limits nothing, and so counts for nothing.
function stamped(metadata: V1ObjectMeta | undefined): Amounts {
  try {
    return amountsOf(stampedLimit(metadata as Parameters<typeof stampedLimit>[0]));
  } catch (error) {
    if (error instanceof StampError) return nothing;
    throw error;
  }
}
