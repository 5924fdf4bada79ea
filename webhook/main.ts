import process from 'node:process';
import { createAdmission } from './admission/admission.ts';
import { realClock } from './cluster/clock.ts';
import { connect } from './cluster/connect.ts';
import { watchPolicies } from './cluster/policies.ts';
import { type Config, ConfigError, help, readConfig } from './config.ts';
import { createApp } from './http/app.ts';
import { createHealthApp } from './http/health.ts';
import { createLog } from './http/log.ts';
import { createMetrics } from './http/metrics.ts';
import { countRequests, createPlainServer, createTlsServer, drain, listen, useCertificate } from './http/server.ts';
import { startQuota } from './quota/start.ts';
import { reconcilePods } from './reconcile/reconcile.ts';
import { loadPair, type ServingPair } from './tls/certificate.ts';
import { awaitPair, watchPair } from './tls/certificate-watch.ts';

// An hour of failures at the usual interval of 10 s.
const maxCertificateFailures = 360;
const retryMs = 1_000;

async function run(config: Config): Promise<void> {
  const metrics = createMetrics();
  const log = createLog(config.logLevel, metrics.logLineLost);
  const { registry } = metrics;
  const stop = new AbortController();
  const { signal } = stop;
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(name));

  let pair: ServingPair | undefined;
  let isListening = false;
  const unreadyReason = () => {
    if (signal.aborted) return 'stopping';
    if (!isListening) return 'waiting for the certificate';
    return pair !== undefined && pair.expires.getTime() <= Date.now() ? 'the certificate expired' : undefined;
  };
  const logError = (err: unknown) => log.error({ err }, 'unexpected error');
  const health = createPlainServer(createHealthApp({ registry, unreadyReason, logError }));
  const probes = { requestsUnderWay: countRequests(health), serveOnMs: 0, finishMs: 1_000 };
  const httpPort = await listen(health, config.httpPort);
  log.info({ httpPort }, 'probes and metrics');

  const watching = {
    load: () => loadPair(config.tlsDir),
    intervalMs: config.tlsPollMs,
    signal,
    onFailure: (error: Error, failuresInARow: number) => {
      metrics.certificateFailure();
      log.warn({ failuresInARow, reason: error.message }, 'no usable certificate');
    },
  };
  try {
    pair = await awaitPair({ ...watching, intervalMs: Math.min(1_000, config.tlsPollMs) });
  } catch (error) {
    if (!signal.aborted) throw error;
    log.info('stopped while waiting for the certificate');
    await drain(health, probes);
    return;
  }

  const { keys, installation } = config;
  const kubeConfig = connect(config.kubeconfig, process.env);
  if (kubeConfig === undefined) log.warn('outside of a cluster: policies of namespaces are not applied');
  const warn = (what: string) => (err: unknown) => {
    log.warn({ err }, what);
    return retryMs;
  };
  const cluster = kubeConfig && { kubeConfig, registry, clock: realClock, random: Math.random, signal };
  const policies = cluster && watchPolicies({ ...cluster, onError: warn('policies') });
  const hasQuotas = () => policies?.hasQuotas() ?? false;
  const quota = cluster && startQuota({ ...cluster, hasQuotas, lifeMs: config.requestLifeMs, onError: warn('quota') });
  const admission = createAdmission({ keys, installation, labelsOf: policies?.labelsOf, quota });
  const nowMs = () => performance.now();
  const app = createApp({ admission, metrics, log, isDraining: () => signal.aborted, nowMs });
  const server = createTlsServer(app, pair);
  const requestsUnderWay = countRequests(server);
  metrics.certificateExpiry(pair.expires);
  const port = await listen(server, config.port);
  isListening = true;
  log.info({ port, serial: pair.serial, expires: pair.expires, labelKey: keys.both }, 'listening');
  if (cluster !== undefined && policies !== undefined) {
    const exemptNamespaces = ['kube-system', config.namespace];
    void reconcilePods({ ...cluster, keys, installation, policies: policies.all, exemptNamespaces, log });
  }

  // Ends with SIGTERM; throws when the certificate could not be read for too long.
  await watchPair({
    ...watching,
    current: pair,
    maxFailures: maxCertificateFailures,
    onRenewal: (found) => {
      useCertificate(server, found);
      pair = found;
      metrics.certificateExpiry(found.expires);
      log.info({ serial: found.serial, expires: found.expires }, 'certificate renewed');
    },
  });

  log.info({ signal: signal.reason, seconds: config.drainMs / 1000 }, 'draining');
  await drain(server, { requestsUnderWay, serveOnMs: config.drainMs, finishMs: 10_000 });
  await drain(health, probes);
  log.info('stopped');
}

try {
  const config = readConfig(process.argv.slice(2), process.env);
  if (config === undefined) process.stdout.write(help);
  else await run(config);
} catch (error) {
  if (error instanceof ConfigError) process.stderr.write(`${error.message}\nTry --help.\n`);
  else process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  // Not only the exit code: open servers would keep a process alive that no longer does its work.
  process.exit(error instanceof ConfigError ? 2 : 1);
}
