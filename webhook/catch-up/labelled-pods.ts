import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { apiFailure } from '../../kube/api-failure.ts';
import { listPodMetadata, watchPodMetadata } from '../pod-metadata.ts';
import { type KeepTryingOptions, keepTrying } from './keep-trying.ts';
import { type SeenPod, seenPod } from './seen-pod.ts';

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
export interface LabelledPodsOptions extends KeepTryingOptions {
  readonly kubeConfig: KubeConfig;
  /** The key of the label. */
  readonly label: string;
  /** Namespaces that are left out. */
  readonly exceptNamespaces: readonly string[];
  readonly sink: PodSink;
  /** How long to watch before everything is listed again, in ms. */
  readonly relistMs: number;
}

const listTimeoutMs = 10_000;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;

/**
 * Tells a sink of all pods with a label and of every change of them, until the signal is aborted; nothing is kept. One label at a
 * time, because a selector cannot say "or"; watching all pods instead would send every change of every pod to every replica.
 */
export async function followLabelledPods(options: LabelledPodsOptions): Promise<void> {
  const { kubeConfig, sink, clock, relistMs, signal } = options;
  const selection = { labelSelector: options.label, fieldSelector: fieldSelector(options.exceptNamespaces) };
  const what = `the pods with ${options.label}`;
  const onEvent = (type: 'put' | 'remove' | 'reach', metadata: V1ObjectMeta) => {
    if (type === 'reach') return;
    const seen = seenPod(metadata);
    if (type === 'put') sink.see(seen);
    else sink.remove(seen.uid);
  };
  await keepTrying(options, async (worked) => {
    const uids = new Set<string>();
    const onPod = (metadata: V1ObjectMeta) => {
      uids.add(metadata.uid ?? '');
      sink.see(seenPod(metadata));
    };
    const listing = listPodMetadata({ kubeConfig, selection, timeoutMs: listTimeoutMs, onPod });
    let from: string | undefined = await listing.catch((error) => {
      throw apiFailure(`list ${what}`, error);
    });
    sink.retain(uids);
    const until = clock.nowMs() + relistMs;
    while (!signal.aborted && from !== undefined && clock.nowMs() < until) {
      const timeoutSeconds = Math.max(1, Math.ceil((until - clock.nowMs()) / 1_000));
      from = await watchPodMetadata({ kubeConfig, selection, what, from, timeoutSeconds, onEvent, signal });
      worked();
      await clock.sleep(reopenMs, signal);
    }
  });
}

function fieldSelector(exceptNamespaces: readonly string[]): string {
  const phases = ['Succeeded', 'Failed'].map((phase) => `status.phase!=${phase}`);
  const namespaces = exceptNamespaces.map((name) => `metadata.namespace!=${name}`);
  return [...phases, ...namespaces].join(',');
}
