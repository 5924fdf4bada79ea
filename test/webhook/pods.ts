import jsonpatch from 'jsonpatch';
import type { Decision } from '../../webhook/decide.ts';
import { type Pod, podSchema } from '../../webhook/pod.ts';

/** A pod as JSON, with the metadata and the spec that a test cares about. */
export function podJson(metadata: object, spec: object = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', ...metadata },
    spec: { containers: [{ name: 'web', image: 'web' }], ...spec },
  };
}

/** The same as the webhook sees it. */
export function pod(metadata: object, spec: object = {}): Pod {
  return podSchema.parse(podJson(metadata, spec));
}

/** What becomes of a pod's JSON, by an independent implementation of JSON patch. */
export function applied<T extends object>(json: T, decision: Decision): T {
  return decision.outcome === 'patch'
    ? (jsonpatch.apply_patch(json, structuredClone([...decision.operations])) as T)
    : json;
}
