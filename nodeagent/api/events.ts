/** The API server's events about pods, as `kubectl describe pod` shows them. */
import type { KubeConfig } from '@kubernetes/client-node';
import { createEvent } from '../../kube/event.ts';
import type { PodRef } from '../pods/desired.ts';
import type { LimitedCondition } from './limited-condition.ts';

const timeoutMs = 10_000;
const longestName = 253;

/**
 * Writes the event of a pod's condition that was written.
 * @param before the status of the condition that the pod had until then; undefined if it had none
 * @throws if the API server does not take it
 */
export type WriteEvent = (pod: PodRef, before: string | undefined, condition: LimitedCondition) => Promise<void>;

/**
 * Builds the writer of events.
 * @param nodeName the agent's node, which events name as their instance
 * @param now wall clock, in ms since the epoch
 */
export function eventWriter(kubeConfig: KubeConfig, nodeName: string, now: () => number): WriteEvent {
  let count = 0;
  return async ({ namespace, name, uid }, before, condition) => {
    const time = now();
    count += 1;
    // As client-go names events; those of one millisecond differ by the count.
    const suffix = `.${(BigInt(time) * 1_000_000n + BigInt(count % 1_000_000)).toString(16)}`;
    const event = {
      metadata: { name: `${name.slice(0, longestName - suffix.length)}${suffix}` },
      regarding: { kind: 'Pod', namespace, name, uid },
      ...reasonOf(before, condition),
      note: condition.message,
      action: 'Limit',
      reportingController: 'podrate.dev/agent',
      reportingInstance: nodeName,
    } as const;
    await createEvent(kubeConfig, event, time, { what: `write event ${event.reason}`, timeoutMs });
  };
}

/** Returns the type and the reason of the event that tells of a condition. */
export function reasonOf(before: string | undefined, { status, reason }: Pick<LimitedCondition, 'status' | 'reason'>) {
  if (status === 'True') {
    return { type: 'Normal', reason: before === 'True' ? 'RateUpdated' : 'RateApplied' } as const;
  }
  const isWanted = reason === 'NoLimit' || reason === 'Uninstalled';
  return isWanted
    ? ({ type: 'Normal', reason: 'RateRemoved' } as const)
    : ({ type: 'Warning', reason: 'RateFailed' } as const);
}
