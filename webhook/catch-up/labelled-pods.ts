import type { KubeConfig } from '@kubernetes/client-node';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import { followPods } from '../follow-pods.ts';
import type { KeepTryingOptions } from '../keep-trying.ts';
import { unfinished } from '../pod-metadata.ts';
import { type PodSink, toSink } from './pod-sink.ts';

/** What is listed and watched. */
export interface LabelledPodsOptions extends KeepTryingOptions {
  readonly kubeConfig: KubeConfig;
  /** The key of the label. */
  readonly label: string;
  /** Namespaces that are left out. */
  readonly exceptNamespaces: readonly string[];
  readonly sink: PodSink;
  /** How long to watch before the sink is asked whether everything is to be listed again, in ms. */
  readonly relistMs: number;
}

/**
 * Tells a sink of all pods with a rate label and without the stamp's label and of every change of them, until the signal is aborted.
 * One label at a time, because a selector cannot say "or"; watching all pods instead would send every change of every pod to every
 * replica. The others with a rate label are among the pods with a stamp (stamped-pods.ts).
 */
export function followLabelledPods(options: LabelledPodsOptions): Promise<void> {
  const { label, exceptNamespaces, sink } = options;
  const labelSelector = `${label},${shapedLabel}!=${shapedValue}`;
  const elsewhere = exceptNamespaces.map((name) => `metadata.namespace!=${name}`);
  const selection = { labelSelector, fieldSelector: [unfinished, ...elsewhere].join(',') };
  return followPods({ ...options, selection, what: `the pods with ${label}`, follower: toSink(sink) });
}
