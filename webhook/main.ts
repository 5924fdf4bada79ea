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
import { reportSilentAgents } from './reconcile/silent-agents.ts';
import { startCertificate } from './tls/start.ts';

async function run(config: Config): Promise<void> {
  const metrics = createMetrics();
  const log = createLog(config.logLevel);
  const { registry } = metrics;
  const stop = new AbortController();
  const { signal } = stop;
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(name));

  const clock = realClock;
  const kubeConfig = connect(config.kubeconfig, process.env);
  const source = config.tlsDir === undefined ? { kubeConfig, namespace: config.namespace } : { folder: config.tlsDir };
  const certificate = startCertificate({ source, intervalMs: config.tlsPollMs, registry, clock, log, signal });
  let isListening = false;
  const unreadyReason = () => {
    if (signal.aborted) return 'stopping';
    return certificate.unreadyReason() ?? (isListening ? undefined : 'starting');
  };
  const logError = (err: unknown) => log.error({ err }, 'unexpected error');
  const health = createPlainServer(createHealthApp({ registry, unreadyReason, logError }));
  const probes = { requestsUnderWay: countRequests(health), serveOnMs: 0, finishMs: 1_000 };
  const httpPort = await listen(health, config.httpPort);
  log.info({ httpPort }, 'probes and metrics');

  const pair = await certificate.first;
  if (pair === undefined) {
    log.info('stopped while waiting for the certificate');
    await drain(health, probes);
    return;
  }

  const { keys, installation, obeysBandwidth } = config;
  const warn = (what: string) => (err: unknown) => log.warn({ err }, what);
  const cluster = { kubeConfig, registry, clock, random: Math.random, signal };
  const policies = watchPolicies({ ...cluster, onError: warn('policies') });
  const { firstQuota: isNeeded, labelsOf } = policies;
  const quota = startQuota({ ...cluster, isNeeded, lifeMs: config.requestLifeMs, onError: warn('quota') });
  const admission = createAdmission({ keys, installation, obeysBandwidth, labelsOf, quota });
  const nowMs = () => performance.now();
  const app = createApp({ admission, metrics, log, isDraining: () => signal.aborted, nowMs });
  const server = createTlsServer(app, pair);
  certificate.onRenewal((renewed) => useCertificate(server, renewed));
  const requestsUnderWay = countRequests(server);
  const port = await listen(server, config.port);
  isListening = true;
  log.info({ port, serial: pair.serial, expires: pair.expires, labelKey: keys.both }, 'listening');
  const exemptNamespaces = ['kube-system', config.namespace];
  const reconcile = { ...cluster, keys, installation, policies: policies.all, exemptNamespaces, log };
  void policies.ready.then(() => reconcilePods(reconcile));
  const { namespace } = config;
  void reportSilentAgents({ ...cluster, namespace, dateMs: Date.now, onError: warn('agents') });

  await certificate.ended;

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
