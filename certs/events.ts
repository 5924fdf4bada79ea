import { hostname } from 'node:os';
import type { KubeConfig } from '@kubernetes/client-node';
import { createEvent } from '../kube/event.ts';

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
  return ({ type, reason, note }) =>
    createEvent(
      kubeConfig,
      {
        metadata: { generateName: `${secret}-` },
        regarding: { kind: 'Secret', namespace, name: secret },
        type,
        reason,
        note,
        action: 'KeepCertificate',
        reportingController: 'podrate.dev/webhook',
        reportingInstance: hostname(),
      },
      Date.now(),
      { what: `write event ${reason}`, timeoutMs },
    );
}
