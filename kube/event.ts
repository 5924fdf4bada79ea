/** Events of the API server, as `kubectl describe` shows them. */
import type { KubeConfig } from '@kubernetes/client-node';
import { type ApiCall, callApi } from './call.ts';

/** An event (events.k8s.io/v1). It is in the namespace of the object that it is about. */
export interface ApiEvent {
  /** Its name, or the beginning of one that the API server completes. */
  readonly metadata: { readonly name: string } | { readonly generateName: string };
  readonly regarding: {
    readonly kind: 'Pod' | 'Secret';
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for programs. */
  readonly reason: string;
  /** CamelCase: what was done or tried. */
  readonly action: string;
  /** At most 1,024 bytes. */
  readonly note: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
}

/**
 * Creates an event.
 * @param timeMs wall clock, in ms since the epoch
 * @throws ApiFailure
 */
export async function createEvent(
  kubeConfig: KubeConfig,
  { metadata, regarding, ...event }: ApiEvent,
  timeMs: number,
  call: Pick<ApiCall, 'what' | 'timeoutMs' | 'except'>,
): Promise<void> {
  const { namespace } = regarding;
  const body = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { ...metadata, namespace },
    // In microseconds.
    eventTime: new Date(timeMs).toISOString().replace('Z', '000Z'),
    regarding: { apiVersion: 'v1', ...regarding },
    ...event,
  };
  const path = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`;
  await callApi(kubeConfig, { ...call, method: 'POST', path, body });
}
