import { z } from 'zod';
import type { Labels } from '../rate/limit.ts';
import { stringMap } from './first-fault.ts';
import type { Pod } from './pod.ts';
import { type PodReview, readReview } from './review.ts';
import { check, requestOf, reviewOf } from './review-schema.ts';

type Metadata = Pick<Pod, 'metadata'>;

/** What a request for validating admission is about. */
export type Subject =
  | { readonly kind: 'pod'; readonly review: PodReview }
  /** A way to a pod's metadata that is no update of the pod. */
  | { readonly kind: 'subresource'; readonly before: Metadata | undefined; readonly after: Metadata }
  | ({ readonly kind: 'template' } & ChangedTemplate)
  | ({ readonly kind: 'namespace' } & ChangedLabels);

/** The labels that matter of an object, and of what it was before. */
export interface ChangedLabels {
  readonly labels: Labels;
  readonly oldLabels: Labels;
  readonly isNew: boolean;
}

/** What matters of a pod template, and of what it was before. */
export interface ChangedTemplate extends ChangedLabels {
  readonly annotations: Labels;
  readonly oldAnnotations: Labels;
}

/** A request for validating admission, as far as it matters here. */
export interface ValidationReview {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE';
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly subject: Subject;
}

const strings = stringMap.nullish();
const metadata = z.object({ metadata: z.object({ labels: strings, annotations: strings }) });
const template = z.object({ metadata: z.object({ labels: strings, annotations: strings }).nullish() });
// All kinds but CronJob have it at the same place.
const workload = z.object({
  kind: z.string(),
  metadata: z.object({ name: z.string().max(253).nullish() }),
  spec: z.object({ template: template.nullish(), jobTemplate: z.object({ spec: z.object({ template }) }).nullish() }),
});

const metadataReview = reviewOf(requestOf(metadata));
const workloadReview = reviewOf(requestOf(workload));
const target = z.object({
  request: z.object({ resource: z.object({ resource: z.string() }), subResource: z.string().nullish() }),
});

/**
 * Reads an AdmissionReview (admission.k8s.io/v1) about a pod, its status, a binding, a workload with a pod template, or a namespace.
 * @throws ReviewError that names the first thing that is wrong
 */
export function readValidationReview(body: unknown): ValidationReview {
  const { resource, subResource } = check(target, body).request;
  if (resource.resource === 'pods' && !subResource) {
    const review = readReview(body);
    const { uid, operation, namespace, name, dryRun } = review;
    return { uid, operation, namespace, name, dryRun, subject: { kind: 'pod', review } };
  }
  if (resource.resource === 'pods' || resource.resource === 'bindings') {
    const { request } = check(metadataReview, body);
    const subject = { kind: 'subresource', before: request.oldObject ?? undefined, after: request.object } as const;
    return { ...about(request), subject };
  }
  if (resource.resource === 'namespaces') {
    const { request } = check(metadataReview, body);
    const [labels, oldLabels] = [request.object.metadata.labels, request.oldObject?.metadata.labels];
    return { ...about(request), subject: { kind: 'namespace', ...changed(request, labels, oldLabels) } };
  }
  const { request } = check(workloadReview, body);
  const { labels, annotations } = templateMetadata(request.object);
  const old = request.oldObject ? templateMetadata(request.oldObject) : { labels: undefined, annotations: undefined };
  const name = request.name || (request.object.metadata.name ?? '');
  const change = { ...changed(request, labels, old.labels), annotations, oldAnnotations: old.annotations };
  return { ...about(request), name, subject: { kind: 'template', ...change } };
}

/** The labels and annotations of a workload's pod template. */
export function templateMetadata({ spec }: z.infer<typeof workload>): {
  readonly labels: Labels;
  readonly annotations: Labels;
} {
  const metadata = (spec.jobTemplate?.spec ?? spec).template?.metadata;
  return { labels: metadata?.labels ?? undefined, annotations: metadata?.annotations ?? undefined };
}

/** Reads a workload object. @throws ZodError */
export function readWorkload(object: unknown): z.infer<typeof workload> {
  return workload.parse(object);
}

function about({
  uid,
  operation,
  namespace,
  name,
  dryRun,
}: Omit<z.infer<typeof workloadReview>['request'], 'object' | 'oldObject'>) {
  return { uid, operation, namespace: namespace ?? '', name: name ?? '', dryRun: dryRun ?? false };
}

function changed({ operation }: { operation: string }, labels?: Labels | null, oldLabels?: Labels | null) {
  return { labels: labels ?? undefined, oldLabels: oldLabels ?? undefined, isNew: operation === 'CREATE' };
}
