import { z } from 'zod';

const strings = z.record(z.string(), z.string()).nullish();

/** What the webhook reads of a pod; everything else is dropped while reading. */
export const podSchema = z.object({
  apiVersion: z.literal('v1'),
  kind: z.literal('Pod'),
  metadata: z.object({
    name: z.string().max(253).nullish(),
    generateName: z.string().max(253).nullish(),
    labels: strings,
    annotations: strings,
    ownerReferences: z.array(z.object({ controller: z.boolean().nullish() })).nullish(),
  }),
  spec: z.object({ hostNetwork: z.boolean().nullish() }).nullish(),
});

/** What the webhook knows of a pod. */
export type Pod = z.infer<typeof podSchema>;

/** Tells whether a controller, such as a ReplicaSet or a Job, owns the pod. */
export function isOwned({ metadata }: Pod): boolean {
  return metadata.ownerReferences?.some(({ controller }) => controller === true) ?? false;
}

/** Tells whether the pod is the image of a static pod, which the kubelet wrote to the API server. */
export function isMirror({ metadata }: Pod): boolean {
  return Object.hasOwn(metadata.annotations ?? {}, 'kubernetes.io/config.mirror');
}
