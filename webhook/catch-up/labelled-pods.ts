/** The API server's view of the pods with a label: a list and a watch of their metadata. */
import { CoreV1Api, type KubeConfig, type RequestContext, type V1ObjectMeta, Watch } from '@kubernetes/client-node';
import { stampAnnotation } from '../../rate/keys.ts';
import { apiFailure, requestOptions } from '../quota/api-call.ts';
import type { QuotaClock } from '../quota/clock.ts';
import type { SeenPod } from './backlog.ts';

/** Who is told of the pods. */
export interface PodSink {
  /** A pod that is there, from the list or changed. */
  see(pod: SeenPod): void;
  /** A pod that was deleted, finished, or lost the label. */
  remove(uid: string): void;
  /** The uids of a complete list. */
  retain(uids: ReadonlySet<string>): void;
}

/** What is listed and watched. */
export interface LabelledPodsOptions {
  readonly kubeConfig: KubeConfig;
  /** The key of the label. */
  readonly label: string;
  /** Namespaces that are left out. */
  readonly exceptNamespaces: readonly string[];
  readonly sink: PodSink;
  readonly clock: QuotaClock;
  /** Called when a list or the watch failed; gives the wait before another try, in ms. */
  readonly onError: (error: unknown, failuresInARow: number) => number;
  /** How long to watch before everything is listed again, in ms. */
  readonly relistMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

const pageSize = 500;
const listTimeoutMs = 10_000;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;
const accept = (kind: string) => `application/json;as=${kind};g=meta.k8s.io;v=v1`;

/**
 * Tells a sink of all pods with a label and of every change of them, until the signal is aborted; nothing is kept. One label at a
 * time, because a selector cannot say "or"; watching all pods instead would send every change of every pod to every replica.
 */
export async function followLabelledPods(options: LabelledPodsOptions): Promise<void> {
  const { clock, onError, relistMs, signal } = options;
  let failures = 0;
  while (!signal.aborted) {
    try {
      let version: string | undefined = await listOnce(options);
      failures = 0;
      const until = clock.nowMs() + relistMs;
      while (!signal.aborted && version !== undefined && clock.nowMs() < until) {
        version = await watchOnce(options, version, until);
        await clock.sleep(reopenMs, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      await clock.sleep(onError(error, failures), signal);
      failures += 1;
    }
  }
}

function selection({ label, exceptNamespaces }: LabelledPodsOptions) {
  const phases = ['Succeeded', 'Failed'].map((phase) => `status.phase!=${phase}`);
  const namespaces = exceptNamespaces.map((name) => `metadata.namespace!=${name}`);
  return { labelSelector: label, fieldSelector: [...phases, ...namespaces].join(',') };
}

// Gives the version of the list.
async function listOnce(options: LabelledPodsOptions): Promise<string> {
  const { kubeConfig, label, sink, signal } = options;
  const api = kubeConfig.makeApiClient(CoreV1Api);
  const uids = new Set<string>();
  let version = '';
  let page: string | undefined;
  try {
    do {
      const query = { ...selection(options), limit: pageSize, ...(page === undefined ? {} : { _continue: page }) };
      const call = requestOptions(listTimeoutMs, accept('PartialObjectMetadataList'));
      const { items, metadata } = await api.listPodForAllNamespaces(query, call);
      // Null, not empty, where there is none.
      for (const pod of items ?? []) {
        const seen = seenPod(pod.metadata);
        uids.add(seen.uid);
        sink.see(seen);
      }
      version = metadata?.resourceVersion ?? '';
      page = metadata?._continue || undefined;
    } while (page !== undefined && !signal.aborted);
  } catch (error) {
    throw apiFailure(`list the pods with the label ${label}`, error);
  }
  if (!signal.aborted) sink.retain(uids);
  return version;
}

// Gives the version to go on from; undefined if the API server has forgotten it.
async function watchOnce(options: LabelledPodsOptions, from: string, until: number): Promise<string | undefined> {
  const { kubeConfig, label, sink, clock, signal } = options;
  const timeoutSeconds = Math.max(1, Math.ceil((until - clock.nowMs()) / 1_000));
  const query = { ...selection(options), allowWatchBookmarks: true, resourceVersion: from, timeoutSeconds };
  return new Promise((resolve, reject) => {
    let version = from;
    let fault: Error | undefined;
    let isGone = false;
    const onEvent = (type: string, object: { metadata?: V1ObjectMeta; code?: number; message?: string }) => {
      if (type === 'ERROR') {
        if (object.code === 410) isGone = true;
        else fault = new Error(`The watch of pods with the label ${label} ended: ${object.message}`);
        return;
      }
      version = object.metadata?.resourceVersion ?? version;
      if (type === 'BOOKMARK') return;
      const seen = seenPod(object.metadata);
      if (type === 'DELETED') sink.remove(seen.uid);
      else sink.see(seen);
    };
    let isDone = false;
    let abort = () => {};
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

function seenPod(metadata: V1ObjectMeta | undefined): SeenPod {
  const { namespace = '', name = '', uid = '', resourceVersion = '' } = metadata ?? {};
  const { labels = {}, deletionTimestamp } = metadata ?? {};
  // What kubectl keeps in others may be larger than all the rest.
  const isNeeded = ([key]: [string, string]) => key === stampAnnotation || key.startsWith('kubernetes.io/config.');
  const annotations = Object.fromEntries(Object.entries(metadata?.annotations ?? {}).filter(isNeeded));
  // A list has a Date, a watch a text.
  const deletion = deletionTimestamp === undefined ? {} : { deletionTimestamp: String(deletionTimestamp) };
  const pod = { name, uid, resourceVersion, labels, annotations, ...deletion };
  return { namespace, name, uid, resourceVersion, pod: { apiVersion: 'v1', kind: 'Pod', metadata: pod } };
}
