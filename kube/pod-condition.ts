/** The condition `podrate.dev/Limited` of pods, as it is written. */
import type { KubeConfig } from '@kubernetes/client-node';
import { limitedCondition } from '../rate/keys.ts';
import { callApi } from './call.ts';

/** What a condition says. */
export interface PodCondition {
  readonly status: 'True' | 'False' | 'Unknown';
  /** CamelCase, for programs. */
  readonly reason: string;
  /** One sentence, for people. */
  readonly message: string;
  /** RFC 3339, in whole seconds. */
  readonly lastTransitionTime: string;
}

/** What became of the patch of a condition. */
export type PatchOutcome = 'done' | 'gone';

/** Writes the condition of a pod. */
export type PatchCondition = (
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
  condition: PodCondition,
) => Promise<PatchOutcome>;

const answerTimeoutMs = 30_000;

/**
 * Builds the patch: a strategic merge of one condition by its type, with the pod's uid as a precondition, so that a pod
 * that was created anew under the same name does not get the condition of its predecessor. It rejects with ApiFailure.
 */
export function conditionPatch(kubeConfig: KubeConfig): PatchCondition {
  return async ({ namespace, name, uid }, condition) => {
    const body = { metadata: { uid }, status: { conditions: [{ type: limitedCondition, ...condition }] } };
    const answer = await callApi(kubeConfig, {
      method: 'PATCH',
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/status`,
      body,
      type: 'application/strategic-merge-patch+json',
      what: `write the condition of pod ${namespace}/${name}`,
      timeoutMs: answerTimeoutMs,
      except: [404, 409],
    });
    return answer === undefined ? 'gone' : 'done';
  };
}

/** Returns a time as conditions have it. @param timeMs wall clock, in ms since the epoch */
export function conditionTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
