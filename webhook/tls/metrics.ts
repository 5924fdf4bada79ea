import { Counter, Gauge, type Registry } from 'prom-client';

/** Metrics of the serving certificate. */
export type CertificateMetrics = ReturnType<typeof certificateMetrics>;

/** Registers the metrics of the serving certificate. */
export function certificateMetrics(registry: Registry) {
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
  return {
    expiry: (at: Date) => expiry.set(at.getTime() / 1000),
    failure: () => failures.inc(),
    bundleRepair: () => repairs.inc(),
  };
}
