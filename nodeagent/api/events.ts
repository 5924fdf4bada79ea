/** The API server's events about pods, as `kubectl describe pod` shows them. */
import type { KubeConfig } from '@kubernetes/client-node';
import { createEvent } from '../../kube/event.ts';
import type { ShapedPod } from '../pods/desired.ts';
import type { PodEvent } from './pod-event.ts';

/** The pod that an event is about. */
export type EventPod = Pick<ShapedPod, 'namespace' | 'name' | 'uid'>;

/** Writes an event. @throws if the API server does not take it */
export type WriteEvent = (pod: EventPod, event: PodEvent) => Promise<void>;

/** Who the events are from. */
const eventController = 'podrate.dev/agent';

const timeoutMs = 10_000;
const longestName = 253;

/**
 * Builds the writer of events.
 * @param nodeName the agent's node, which events name as their instance
 * @param now wall clock, in ms since the epoch
 */
export function eventWriter(kubeConfig: KubeConfig, nodeName: string, now: () => number): WriteEvent {
  let count = 0;
  return async ({ namespace, name, uid }, { type, reason, note }) => {
    const time = now();
    count += 1;
    // As client-go names events; those of one millisecond differ by the count.
    const suffix = `.${(BigInt(time) * 1_000_000n + BigInt(count % 1_000_000)).toString(16)}`;
    const event = {
      metadata: { name: `${name.slice(0, longestName - suffix.length)}${suffix}` },
      regarding: { kind: 'Pod', namespace, name, uid },
      type,
      reason,
      note,
      action: 'Limit',
      reportingController: eventController,
      reportingInstance: nodeName,
    } as const;
    await createEvent(kubeConfig, event, time, { what: `write event ${reason}`, timeoutMs });
  };
}
