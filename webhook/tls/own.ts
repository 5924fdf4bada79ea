import type { KubeConfig } from '@kubernetes/client-node';
import { authoritySecret } from '../../certs/authority-secret.ts';
import { certificateEvents } from '../../certs/events.ts';
import { keepCertificate } from '../../certs/keep.ts';
import * as names from '../../certs/names.ts';
import type { Change } from '../../certs/perform.ts';
import { registrations } from '../../certs/registrations.ts';
import type { Clock } from '../cluster/clock.ts';
import type { Log } from '../http/log.ts';
import { type CertificateSink, servingPair } from './certificate.ts';

/** How the webhook's own authority and certificate are kept. */
export interface OwnOptions {
  readonly kubeConfig: KubeConfig;
  /** podrate's own namespace. */
  readonly namespace: string;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when a foreign caBundle was replaced. */
  readonly onRepair: () => void;
  readonly signal: AbortSignal;
}

/** Keeps a certificate of the webhook's own authority until the signal is aborted, and reports each change. */
export async function keepOwnCertificate(options: OwnOptions, sink: CertificateSink): Promise<void> {
  const { kubeConfig, namespace, intervalMs, clock, signal } = options;
  await keepCertificate({
    secret: authoritySecret(kubeConfig, namespace, names.authoritySecret),
    registrations: registrations(kubeConfig, names.webhookConfiguration),
    dnsNames: names.serviceNames(names.webhookService, namespace),
    intervalMs,
    now: () => new Date(),
    sleep: (ms, ending) => clock.sleep(ms, ending),
    random: Math.random,
    signal,
    onCertificate: ({ certificate, key }) => sink.onPair(servingPair(certificate, key)),
    onTrust: sink.onTrust,
    onFailure: sink.onFailure,
    onChange: reporter(options),
  });
}

/** Builds the function that tells people of a change: log, metric and event. */
function reporter({ kubeConfig, namespace, log, onRepair }: OwnOptions): (change: Change) => void {
  const write = certificateEvents(kubeConfig, namespace, names.authoritySecret);
  const writeEvent = (type: 'Normal' | 'Warning', reason: string, note: string) => {
    write({ type, reason, note }).catch((err: unknown) => log.warn({ err }, 'no event'));
  };
  return ({ kind, message }) => {
    if (kind !== 'bundle-repaired') {
      log.info({ change: kind }, message);
      if (kind === 'authority-issued') writeEvent('Normal', 'AuthorityIssued', message);
      return;
    }
    log.warn({ change: kind }, message);
    onRepair();
    writeEvent('Warning', 'CABundleRepaired', message);
  };
}
