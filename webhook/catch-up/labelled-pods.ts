import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { followPods } from '../follow-pods.ts';
import type { KeepTryingOptions } from '../keep-trying.ts';
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

/**
 * Tells a sink of all pods with a label and of every change of them, until the signal is aborted; nothing is kept. One label at a
 * time, because a selector cannot say "or"; watching all pods instead would send every change of every pod to every replica.
 */
export function followLabelledPods(options: LabelledPodsOptions): Promise<void> {
  const { label, exceptNamespaces, sink } = options;
  const list = () => {
    const uids = new Set<string>();
    const onPod = (metadata: V1ObjectMeta) => {
      uids.add(metadata.uid ?? '');
      sink.see(seenPod(metadata));
    };
    return { onPod, onEnd: () => sink.retain(uids) };
  };
  const onEvent = (type: 'put' | 'remove' | 'reach', metadata: V1ObjectMeta) => {
    if (type === 'reach') return;
    const seen = seenPod(metadata);
    if (type === 'put') sink.see(seen);
    else sink.remove(seen.uid);
  };
  const selection = { labelSelector: label, fieldSelector: fieldSelector(exceptNamespaces) };
  return followPods({ ...options, selection, what: `the pods with ${label}`, follower: { list, onEvent } });
}

function fieldSelector(exceptNamespaces: readonly string[]): string {
  const phases = ['Succeeded', 'Failed'].map((phase) => `status.phase!=${phase}`);
  const namespaces = exceptNamespaces.map((name) => `metadata.namespace!=${name}`);
  return [...phases, ...namespaces].join(',');
}
