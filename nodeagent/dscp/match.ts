/** Tells which pod a network namespace belongs to: by the pod's addresses, which the API server has and the namespace's devices. Pure. */
import type { ShapedPod } from '../pods/desired.ts';

/** What becomes of a namespace's marks: a code point, no marking, or as it is where a pod's stamp cannot be read. */
export type WantedMark = { readonly dscp: number | undefined } | 'keep';

/** Picks the pods that have something to say about marks; all others say that nothing is marked. */
export function markedPods(pods: readonly ShapedPod[]): ShapedPod[] {
  return pods.filter(({ limit }) => limit instanceof Error || limit.dscp !== undefined);
}

/** Whether a namespace with these addresses is the pod's. Pods on the node's own network have the node's addresses, and no namespace. */
export function isOf({ network }: ShapedPod, addresses: readonly string[]): boolean {
  return !network.isHost && network.addresses.some((one) => addresses.includes(one));
}

/** Finds the pod that a namespace with these addresses belongs to. */
export function podOf(pods: readonly ShapedPod[], addresses: readonly string[]): ShapedPod | undefined {
  const found = pods.filter((pod) => isOf(pod, addresses));
  // The address of a pod that ends is given to another one before the API server forgets the first.
  return found.find(({ terminating }) => !terminating) ?? found[0];
}

/** What a namespace's marks should be. */
export function wantedMark(pods: readonly ShapedPod[], addresses: readonly string[]): WantedMark {
  const pod = podOf(pods, addresses);
  if (pod?.limit instanceof Error) return 'keep';
  return { dscp: pod?.limit.dscp };
}
