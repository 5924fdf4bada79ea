import { dscpAnnotation, type LabelKeys, shapedLabel, stampAnnotation } from '../rate/keys.ts';
import type { Decision } from './decide.ts';
import { mirrorAnnotations, type Pod } from './pod.ts';

/**
 * Decides about a request that reaches a pod's metadata by another way than the pod: through its status, or a binding to a node.
 * Nothing that the limit comes from, or that says which cgroup it falls on, may change that way.
 * @param before undefined for a binding, whose metadata comes to the pod's
 */
export function validateSubresource(
  before: Pick<Pod, 'metadata'> | undefined,
  after: Pick<Pod, 'metadata'>,
  keys: LabelKeys,
): Decision {
  const isChanged = (field: 'labels' | 'annotations') => (key: string) =>
    before?.metadata[field]?.[key] !== after.metadata[field]?.[key];
  const deny = (code: string, message: string): Decision => ({ outcome: 'deny', status: 403, code, message });
  if (isChanged('annotations')(stampAnnotation) || isChanged('labels')(shapedLabel)) {
    const whose = `annotation ${stampAnnotation} and its label are podrate's`;
    return deny('stamp/forged', `${whose}: change the pod's rate label instead`);
  }
  const label = Object.values(keys).find(isChanged('labels'));
  if (label !== undefined) {
    return deny(
      'pod/rate-label',
      `label ${label} cannot be set through a pod's status or a binding: label the pod itself`,
    );
  }
  if (isChanged('annotations')(dscpAnnotation)) {
    const where = "through a pod's status or a binding: annotate the pod itself";
    return deny('pod/dscp', `annotation ${dscpAnnotation} cannot be set ${where}`);
  }
  const annotation = mirrorAnnotations.find(isChanged('annotations'));
  if (annotation !== undefined) {
    const what = `annotation ${annotation} names the cgroup of a static pod`;
    return deny('pod/static-pod', `${what}: only its kubelet sets it, when it creates the pod`);
  }
  return { outcome: 'leave', warnings: [] };
}
