import { hostname } from 'node:os';
import { EventsV1Api, type KubeConfig, V1MicroTime } from '@kubernetes/client-node';
import { apiFailure } from '../kube/api-failure.ts';
import { requestOptions } from '../kube/request-options.ts';

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
  const api = kubeConfig.makeApiClient(EventsV1Api);
  return async ({ type, reason, note }) => {
    const body = {
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
    try {
      await api.createNamespacedEvent({ namespace, body }, requestOptions(timeoutMs));
    } catch (error) {
      throw apiFailure(`write event ${reason}`, error);
    }
  };
}
