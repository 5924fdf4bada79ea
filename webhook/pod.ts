import { z } from 'zod';
import { ownerList, stringMap } from './first-fault.ts';

/** What the webhook reads of a pod; everything else is dropped while reading. */
export const podSchema = z.object({
  apiVersion: z.literal('v1'),
  kind: z.literal('Pod'),
  metadata: z.object({
    name: z.string().max(253).nullish(),
    generateName: z.string().max(253).nullish(),
    uid: z.string().max(128).nullish(),
    resourceVersion: z.string().max(64).nullish(),
    deletionTimestamp: z.string().max(64).nullish(),
    labels: stringMap.nullish(),
    annotations: stringMap.nullish(),
    ownerReferences: ownerList.nullish(),
  }),
  spec: z.object({ hostNetwork: z.boolean().nullish() }).nullish(),
  status: z.object({ phase: z.string().max(64).nullish() }).nullish(),
});

/** What the webhook knows of a pod. */
export type Pod = z.infer<typeof podSchema>;

/** Tells whether a controller, such as a ReplicaSet or a Job, owns the pod. */
export function isOwned({ metadata }: Pod): boolean {
  return metadata.ownerReferences?.some(({ controller }) => controller === true) ?? false;
}

/**
 * The annotations of the image of a static pod, which a kubelet wrote to the API server. Such a pod's cgroup is named after one of
 * them, so whoever can write them could name another pod's cgroup.
 */
export const mirrorAnnotations = ['kubernetes.io/config.mirror', 'kubernetes.io/config.hash'] as const;

/** Tells whether the pod says that it is the image of a static pod. */
export function isMirror({ metadata }: Pod): boolean {
  const annotations = metadata.annotations ?? {};
  return mirrorAnnotations.some((key) => Object.hasOwn(annotations, key));
}

/** Tells whether the pod has finished, so that nothing of it runs and no quota counts it. */
export function isFinished({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}
