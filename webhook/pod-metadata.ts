/** The API server's view of selected pods: one list or one watch of their metadata, a hundredth of some pods. */
import { CoreV1Api, type KubeConfig, type RequestContext, type V1ObjectMeta, Watch } from '@kubernetes/client-node';
import { apiFailure } from '../kube/api-failure.ts';
import { eachItem, type PageQuery } from '../kube/pages.ts';
import { requestOptions } from '../kube/request-options.ts';

/** Which pods, by their labels and fields. */
export interface PodSelection {
  readonly labelSelector: string;
  readonly fieldSelector: string;
}

/** What is listed. */
export interface ListOptions {
  readonly kubeConfig: KubeConfig;
  readonly selection: PodSelection;
  /** What the pods are called in an error. */
  readonly what: string;
  /** All namespaces if undefined. */
  readonly namespace?: string | undefined;
  /** How long each page may take. */
  readonly timeoutMs: number;
  readonly onPod: (metadata: V1ObjectMeta) => void;
}

/** What a watch is opened with. */
export interface WatchOptions {
  readonly kubeConfig: KubeConfig;
  readonly selection: PodSelection;
  /** What the pods are called in an error. */
  readonly what: string;
  /** The resource version to go on from. */
  readonly from: string;
  /** When the API server shall end it. */
  readonly timeoutSeconds: number;
  /** `put`: there, or changed; `remove`: deleted, or no longer selected; `reach`: nothing older than this version will come. */
  readonly onEvent: (type: 'put' | 'remove' | 'reach', metadata: V1ObjectMeta) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** The media type of objects without anything but their metadata. */
export function metadataOnly(kind: 'PartialObjectMetadata' | 'PartialObjectMetadataList'): string {
  return `application/json;as=${kind};g=meta.k8s.io;v=v1`;
}

/**
 * Lists pods in pages.
 * @returns the resource version of the list
 * @throws ApiFailure
 */
export async function listPodMetadata(options: ListOptions): Promise<string> {
  const { kubeConfig, selection, what, namespace, timeoutMs, onPod } = options;
  const api = kubeConfig.makeApiClient(CoreV1Api);
  const fetchPage = (page: PageQuery) => {
    const query = { ...selection, ...page };
    const request = requestOptions(timeoutMs, { Accept: metadataOnly('PartialObjectMetadataList') });
    return namespace === undefined
      ? api.listPodForAllNamespaces(query, request)
      : api.listNamespacedPod({ namespace, ...query }, request);
  };
  try {
    return await eachItem(fetchPage, ({ metadata }) => onPod(metadata ?? {}));
  } catch (error) {
    throw apiFailure(`list ${what}`, error);
  }
}

/**
 * Watches pods of all namespaces until the watch ends, as each does after a while.
 * @returns the resource version to go on from; undefined if the API server has forgotten it
 * @throws if the watch failed
 */
export async function watchPodMetadata(options: WatchOptions): Promise<string | undefined> {
  const { kubeConfig, selection, what, from, timeoutSeconds, signal } = options;
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
        else fault = new Error(`The watch of ${what} ended: ${object.message}`);
        return;
      }
      const metadata = object.metadata ?? {};
      version = metadata.resourceVersion ?? version;
      options.onEvent(type === 'BOOKMARK' ? 'reach' : type === 'DELETED' ? 'remove' : 'put', metadata);
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
    void new Watch(asMetadata(kubeConfig)).watch('/api/v1/pods', query, onEvent, onDone).then((controller) => {
      abort = () => controller.abort();
      if (signal.aborted) abort();
      else if (!isDone) signal.addEventListener('abort', abort);
    }, reject);
  });
}

// client-node's Watch has no option for headers; it asks its configuration for those of authentication.
function asMetadata(kubeConfig: KubeConfig): KubeConfig {
  return Object.assign(Object.create(kubeConfig), {
    async applySecurityAuthentication(context: RequestContext) {
      await kubeConfig.applySecurityAuthentication(context);
      context.setHeaderParam('Accept', metadataOnly('PartialObjectMetadata'));
    },
  });
}
