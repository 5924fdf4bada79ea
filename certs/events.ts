import { hostname } from 'node:os';
import { type KubeConfig, V1MicroTime } from '@kubernetes/client-node';
import { callApi } from '../kube/call.ts';

/** An event about the webhook's certificates. */
export interface CertificateEvent {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for programs. */
  readonly reason: string;
  /** At most 1,024 bytes. */
  readonly note: string;
}

const timeoutMs = 10_000;

/**
 * Builds the writer of events about the Secret with the authority. The events are in its namespace.
 * @param secret the name of the Secret
 * @returns a function that throws ApiFailure
 */
export function certificateEvents(
  kubeConfig: KubeConfig,
  namespace: string,
  secret: string,
): (event: CertificateEvent) => Promise<void> {
  return async ({ type, reason, note }) => {
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace, generateName: `${secret}-` },
      eventTime: new V1MicroTime(Date.now()),
      regarding: { apiVersion: 'v1', kind: 'Secret', namespace, name: secret },
      type,
      reason,
      note,
      action: 'KeepCertificate',
      reportingController: 'podrate.dev/webhook',
      reportingInstance: hostname(),
    };
    const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
    await callApi(kubeConfig, { method: 'POST', path, body, what: `write event ${reason}`, timeoutMs });
  };
}
