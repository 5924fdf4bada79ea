/** The form that all reviews share, whatever they are about. */
import { z } from 'zod';

/** A body that is no admission review. It is not the user's fault, so it is answered by an HTTP error. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
  readonly code = 'review/invalid';
}

/** The schema of a request about an object. */
export function requestOf<T extends z.ZodType>(object: T) {
  return z.object({
    uid: z.string().min(1).max(128),
    operation: z.enum(['CREATE', 'UPDATE']),
    namespace: z.string().max(253).optional(),
    name: z.string().max(253).optional(),
    dryRun: z.boolean().nullish(),
    object,
    oldObject: object.nullish(),
  });
}

/** The schema of an AdmissionReview (admission.k8s.io/v1) with a request. */
export function reviewOf<T extends z.ZodType>(request: T) {
  return z.object({ apiVersion: z.literal('admission.k8s.io/v1'), kind: z.literal('AdmissionReview'), request });
}

/** Reads a body by a schema. @throws ReviewError that names the first thing that is wrong */
export function check<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (!result.success) throw new ReviewError(explain(result.error));
  return result.data;
}

const maxPathLength = 200;

function explain({ issues }: z.ZodError): string {
  const [first] = issues;
  if (first === undefined) return 'The body is no AdmissionReview of a pod.';
  const path = first.path.join('.');
  // A key can be as long as the body, and this goes to the log.
  const field = path.length > maxPathLength ? `${path.slice(0, maxPathLength)}…` : path;
  const where = path === '' ? 'The body' : `The field ${field}`;
  return `${where} of this AdmissionReview is wrong: ${first.message}.`.replace(
    'The body of this AdmissionReview',
    'The body',
  );
}
