import type { V1ObjectMeta } from '@kubernetes/client-node';
import { dscpAnnotation, stampAnnotation } from '../../rate/keys.ts';
import type { Pod } from '../pod.ts';

/** A pod as the API server tells it, with what names exactly this version of it. */
export interface SeenPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly pod: Pod;
}

/** Takes of a pod's metadata what matters here. */
export function seenPod(metadata: V1ObjectMeta): SeenPod {
  const { namespace = '', name = '', uid = '', resourceVersion = '', labels = {}, deletionTimestamp } = metadata;
  // What kubectl keeps in others may be larger than all the rest.
  const isNeeded = ([key]: [string, string]) =>
    key === stampAnnotation || key === dscpAnnotation || key.startsWith('kubernetes.io/config.');
  const annotations = Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(isNeeded));
  // A list has a Date, a watch a text.
  const deletion = deletionTimestamp === undefined ? {} : { deletionTimestamp: String(deletionTimestamp) };
  const pod = { name, uid, resourceVersion, labels, annotations, ...deletion };
  return { namespace, name, uid, resourceVersion, pod: { apiVersion: 'v1', kind: 'Pod', metadata: pod } };
}
