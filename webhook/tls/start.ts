import type { KubeConfig } from '@kubernetes/client-node';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../cluster/clock.ts';
import type { Log } from '../http/log.ts';
import type { CertificateSink, ServingPair } from './certificate.ts';
import { watchMountedCertificate } from './mounted.ts';
import { keepOwnCertificate } from './own.ts';

/** Where the certificate comes from, and what it is reported to. */
export interface CertificateOptions {
  /** A folder in which another program keeps a certificate, or the cluster in which the webhook keeps its own. */
  readonly source: { readonly folder: string } | { readonly kubeConfig: KubeConfig; readonly namespace: string };
  readonly intervalMs: number;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Starts to keep a certificate for the webhook's server. */
export function startCertificate(options: CertificateOptions) {
  const { source, registry, log } = options;
  const registers = [registry];
  const expiry = new Gauge({
    name: 'podrate_webhook_certificate_expiry_timestamp_seconds',
    help: 'When the served certificate expires, in seconds since 1970.',
    registers,
  });
  const failures = new Counter({
    name: 'podrate_webhook_certificate_failures_total',
    help: 'Failed attempts to read, renew or publish the certificate; the last good one stays in use.',
    registers,
  });
  const repairs = new Counter({
    name: 'podrate_webhook_ca_bundle_repairs_total',
    help: "Webhook configurations whose caBundle was not the webhook's own and was restored.",
    registers,
  });
  const first = Promise.withResolvers<ServingPair | undefined>();
  let current: ServingPair | undefined;
  let distrust = 'folder' in source ? undefined : 'the caBundle was not checked yet';
  let use = (_pair: ServingPair): void => {};
  const sink: CertificateSink = {
    onPair(pair) {
      expiry.set(pair.expires.getTime() / 1000);
      const { serial, expires } = pair;
      log.info({ serial, expires }, current === undefined ? 'first certificate' : 'certificate renewed');
      current = pair;
      first.resolve(pair);
      use(pair);
    },
    onTrust(reason) {
      if (reason !== undefined && reason !== distrust) log.warn({ reason }, 'certificate not trusted');
      distrust = reason;
    },
    onFailure(error, failuresInARow) {
      failures.inc();
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ failuresInARow, reason }, 'certificate check failed');
    },
  };
  const ended =
    'folder' in source
      ? watchMountedCertificate({ ...options, ...source }, sink)
      : keepOwnCertificate({ ...options, ...source, onRepair: () => repairs.inc() }, sink);
  ended.then(() => first.resolve(undefined), first.reject);
  return {
    /** Resolves with the first pair; undefined if the signal is aborted before. */
    first: first.promise,
    /** Sets what is called with each later pair. */
    onRenewal(next: (pair: ServingPair) => void) {
      use = next;
    },
    /** Returns why API servers cannot use the server; undefined if they can. */
    unreadyReason(): string | undefined {
      if (current === undefined) return 'waiting for the certificate';
      return current.expires.getTime() <= Date.now() ? 'the certificate expired' : distrust;
    },
    /** Settles when the signal is aborted. Rejects only for faults of the program. */
    ended,
  };
}
