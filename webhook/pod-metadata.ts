/** The API server's view of selected pods: one list or one watch of their metadata, a hundredth of some pods. */
import { ApiException, CoreV1Api, type KubeConfig, type V1ObjectMeta } from '@kubernetes/client-node';
import { apiFailure } from '../kube/api-failure.ts';
import { eachItem, type PageQuery } from '../kube/pages.ts';
import { requestOptions } from '../kube/request-options.ts';
import { watchObjects } from '../kube/watch.ts';

/** Which pods, by their labels and fields. */
export interface PodSelection {
  readonly labelSelector: string;
  readonly fieldSelector: string;
}

/** The field selector of pods that have not finished. */
export const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';

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

/** An event of a watch; the object of one of type ERROR is a Status. */
interface PodEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: { readonly metadata?: V1ObjectMeta; readonly code?: number; readonly message?: string };
}

/**
 * Watches pods of all namespaces until the watch ends, as each does after a while.
 * @returns the resource version to go on from; undefined if the API server has forgotten it
 * @throws if the watch failed
 */
export async function watchPodMetadata(options: WatchOptions): Promise<string | undefined> {
  const { kubeConfig, selection, what, from, timeoutSeconds, signal } = options;
  let version = from;
  const onEvent = ({ type, object }: PodEvent) => {
    if (type === 'ERROR') throw new ApiException(object.code ?? 0, object.message ?? '', undefined, {});
    const metadata = object.metadata ?? {};
    version = metadata.resourceVersion ?? version;
    options.onEvent(type === 'BOOKMARK' ? 'reach' : type === 'DELETED' ? 'remove' : 'put', metadata);
  };
  const query = { ...selection, resourceVersion: from };
  const accept = metadataOnly('PartialObjectMetadata');
  try {
    await watchObjects({ kubeConfig, path: '/api/v1/pods', query, timeoutSeconds, accept, onEvent, signal });
  } catch (error) {
    if (error instanceof ApiException && error.code === 410) return undefined;
    // The connection may be dead without a word: it goes on over another one.
    if (!(error instanceof Error) || error.name !== 'TimeoutError') throw apiFailure(`watch ${what}`, error);
  }
  return version;
}
