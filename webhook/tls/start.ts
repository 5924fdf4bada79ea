import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import type { Clock } from '../cluster/clock.ts';
import type { Log } from '../http/log.ts';
import type { CertificateSink, ServingPair } from './certificate.ts';
import { certificateMetrics } from './metrics.ts';
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
  const metrics = certificateMetrics(registry);
  const first = Promise.withResolvers<ServingPair | undefined>();
  let current: ServingPair | undefined;
  let distrust = 'folder' in source ? undefined : 'the caBundle was not checked yet';
  let use = (_pair: ServingPair): void => {};
  const sink: CertificateSink = {
    onPair(pair) {
      metrics.expiry(pair.expires);
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
      metrics.failure();
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ failuresInARow, reason }, 'certificate check failed');
    },
  };
  const ended =
    'folder' in source
      ? watchMountedCertificate({ ...options, ...source }, sink)
      : keepOwnCertificate({ ...options, ...source, metrics }, sink);
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
