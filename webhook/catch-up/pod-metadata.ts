/** The API server's view of selected pods: one list or one watch of their metadata, a hundredth of some pods. */
import { CoreV1Api, type KubeConfig, type RequestContext, type V1ObjectMeta, Watch } from '@kubernetes/client-node';
import { apiFailure, requestOptions } from '../quota/api-call.ts';

/** Which pods, by their labels and fields. */
export interface PodSelection {
  readonly labelSelector: string;
  readonly fieldSelector: string;
}

/** What a watch is opened with. */
export interface WatchOptions {
  readonly kubeConfig: KubeConfig;
  readonly selection: PodSelection;
  /** The resource version to go on from. */
  readonly from: string;
  /** When the API server shall end it. */
  readonly timeoutSeconds: number;
  readonly onEvent: (type: 'put' | 'remove', metadata: V1ObjectMeta) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

const pageSize = 500;
const listTimeoutMs = 10_000;
const accept = (kind: string) => `application/json;as=${kind};g=meta.k8s.io;v=v1`;

/**
 * Lists pods of all namespaces in pages.
 * @returns the resource version of the list
 * @throws QuotaError if the API server does not answer as asked
 */
export async function listPodMetadata(
  kubeConfig: KubeConfig,
  selection: PodSelection,
  onPod: (metadata: V1ObjectMeta) => void,
): Promise<string> {
  const api = kubeConfig.makeApiClient(CoreV1Api);
  let version = '';
  let page: string | undefined;
  try {
    do {
      const query = { ...selection, limit: pageSize, ...(page === undefined ? {} : { _continue: page }) };
      const options = requestOptions(listTimeoutMs, accept('PartialObjectMetadataList'));
      const { items, metadata } = await api.listPodForAllNamespaces(query, options);
      // Null, not empty, where there is none.
      for (const pod of items ?? []) onPod(pod.metadata ?? {});
      version = metadata?.resourceVersion ?? '';
      page = metadata?._continue || undefined;
    } while (page !== undefined);
  } catch (error) {
    throw apiFailure(`list the pods with ${selection.labelSelector}`, error);
  }
  return version;
}

/**
 * Watches pods of all namespaces until the watch ends, as each does after a while.
 * @returns the resource version to go on from; undefined if the API server has forgotten it
 * @throws if the watch failed
 */
export async function watchPodMetadata(options: WatchOptions): Promise<string | undefined> {
  const { kubeConfig, selection, from, timeoutSeconds, signal } = options;
  const query = { ...selection, allowWatchBookmarks: true, resourceVersion: from, timeoutSeconds };
  return new Promise((resolve, reject) => {
    let version = from;
    let fault: Error | undefined;
    let isGone = false;
    let isDone = false;
    let abort = () => {};
    const onEvent = (type: string, object: { metadata?: V1ObjectMeta; code?: number; message?: string }) => {
      if (type === 'ERROR') {
        if (object.code === 410) isGone = true;
        else fault = new Error(`The watch of the pods with ${selection.labelSelector} ended: ${object.message}`);
        return;
      }
      const metadata = object.metadata ?? {};
      version = metadata.resourceVersion ?? version;
      if (type !== 'BOOKMARK') options.onEvent(type === 'DELETED' ? 'remove' : 'put', metadata);
    };
    const onDone = (error: (Error & { statusCode?: number }) | null) => {
      isDone = true;
      signal.removeEventListener('abort', abort);
      if (error?.statusCode === 410) isGone = true;
      // Half a minute without an event is no fault.
      const isFailure = error !== null && error.name !== 'TimeoutError' && !isGone;
      const failure = fault ?? (isFailure ? error : undefined);
      if (failure !== undefined && !signal.aborted) reject(failure);
      else resolve(isGone ? undefined : version);
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
