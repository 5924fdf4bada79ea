import process from 'node:process';
import { createAdmission } from './admission.ts';
import { createApp } from './app.ts';
import { startCatchUp } from './catch-up/start.ts';
import { realClock } from './clock.ts';
import { type Config, ConfigError, help, readConfig } from './config.ts';
import { limitConnections } from './connection-limit.ts';
import { createHealthApp } from './health.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { connect } from './namespaces.ts';
import { startPolicyMemory } from './policy-memory/start.ts';
import { startQuota } from './quota/start.ts';
import { countRequests, createPlainServer, createTlsServer, drain, listen, useCertificate } from './server.ts';
import { followStampedPods } from './stamped-pods.ts';
import { startCertificate } from './tls/start.ts';

// API servers keep 25 idle connections each. With more at once the memory of a thousand creates at once would reach the container's
// limit. A busy API server may take seconds from a handshake to its request, so a shorter time would fail admissions.
const connectionLimit = { most: 256, quietMs: 10_000, nowMs: () => performance.now() };

async function run(config: Config): Promise<void> {
  const metrics = createMetrics();
  const log = createLog(config.logLevel, metrics.logLineLost);
  const { registry } = metrics;
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(name));

  const kubeConfig = connect(config.kubeconfig, process.env);
  const source =
    config.tlsDir === undefined ? kubeConfig && { kubeConfig, namespace: config.namespace } : { folder: config.tlsDir };
  if (source === undefined) throw new ConfigError('Outside of a cluster, --tls-dir or --kubeconfig is needed.');
  const certificate = startCertificate({
    source,
    intervalMs: config.tlsPollMs,
    registry,
    clock: realClock,
    log,
    signal: stop.signal,
  });
  let isListening = false;
  const unreadyReason = () => {
    if (stop.signal.aborted) return 'stopping';
    return certificate.unreadyReason() ?? (isListening ? undefined : 'starting');
  };
  const logError = (err: unknown) => log.error({ err }, 'unexpected error');
  const health = createPlainServer(createHealthApp({ registry, unreadyReason, logError }));
  const probes = { requestsUnderWay: countRequests(health), cutOff: () => health.closeAllConnections() };
  const httpPort = await listen(health, config.httpPort);
  log.info({ httpPort }, 'probes and metrics');

  const pair = await certificate.first;
  if (pair === undefined) {
    log.info('stopped while waiting for the certificate');
    await drain(health, { ...probes, serveOnMs: 0, finishMs: 1_000 });
    return;
  }

  if (kubeConfig === undefined) log.warn('outside of a cluster: policies of namespaces are not applied');
  const memory =
    kubeConfig &&
    startPolicyMemory({
      ...{ kubeConfig, home: config.namespace, registry, clock: realClock, effectMs: config.requestLifeMs },
      onError: (err) => log.warn({ err }, 'policies'),
    });
  const quota =
    kubeConfig &&
    startQuota({
      ...{ kubeConfig, registry, home: config.namespace, clock: realClock, random: Math.random },
      lifeMs: config.requestLifeMs,
      // Only admissions read it, so replicas would know different ones and write over each other.
      hardOf: () => undefined,
      onError: (err) => log.warn({ err }, 'quota'),
      signal: stop.signal,
    });
  const admission = createAdmission({
    keys: config.keys,
    installation: config.installation,
    readNamespace: memory?.read,
    ...(memory && { announceChange: memory.announce }),
    quota: quota?.keeper,
  });
  const app = createApp({
    ...admission,
    metrics,
    log,
    isDraining: () => stop.signal.aborted,
    nowMs: () => performance.now(),
  });
  const server = createTlsServer(app, pair);
  certificate.onRenewal((renewed) => useCertificate(server, renewed));
  const requestsUnderWay = countRequests(server);
  const { counts, cutOff } = limitConnections(server, connectionLimit);
  metrics.connections(counts);
  const port = await listen(server, config.port);
  isListening = true;
  log.info({ port, labelKey: config.keys.both }, 'listening');
  if (kubeConfig !== undefined && quota !== undefined) {
    const catchUp = startCatchUp({
      ...{ kubeConfig, log, keys: config.keys, home: config.namespace, validate: admission.validate },
      installation: config.installation,
      ...{ registry, clock: realClock, random: Math.random, signal: stop.signal },
    });
    void followStampedPods({
      ...{ kubeConfig, followers: [quota.counting, catchUp], demand: quota.demand, relistMs: 600_000 },
      onError: quota.onWatchFailure,
      ...{ clock: realClock, signal: stop.signal },
    });
  }

  await certificate.ended;

  log.info({ signal: stop.signal.reason, seconds: config.drainMs / 1000 }, 'draining');
  await drain(server, { requestsUnderWay, cutOff, serveOnMs: config.drainMs, finishMs: 10_000 });
  await drain(health, { ...probes, serveOnMs: 0, finishMs: 1_000 });
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
