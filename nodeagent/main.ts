/** The node agent's process: configuration, wiring, signals. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { pino } from 'pino';
import { startAgent } from './agent.ts';
import { keepRemovingStartupTaint } from './api/startup-taint.ts';
import { tellUninstalled } from './api/uninstall-notice.ts';
import { realClock } from './base/clock.ts';
import { toError } from './base/errors.ts';
import { type Config, ConfigError, readConfig, usage } from './config.ts';
import { createHandler } from './http/health.ts';
import { renderMetrics } from './http/metrics.ts';
import { createQueues } from './ingress-queue/controller.ts';
import { mountedNamespaces } from './net/namespaces.ts';
import { openNode, PreflightError } from './open-node.ts';
import { uninstall } from './uninstall.ts';

const noNamespaces =
  'network namespaces cannot be entered: packets are not marked, and connections that are older than a limit are held ' +
  'by dropping until they close (the component manifests/namespaces changes that)';
const noAdopter =
  'connections that are older than a limit are held by dropping until they close: the kernel has no TCP iterator';

// Written at once: a fatal line flushes what waits, and would overtake a line whose write is under way in another thread.
const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ sync: true }));

try {
  const config = readConfig(process.argv.slice(2), process.env);
  if (config.help) process.stdout.write(usage);
  else if (config.uninstall) await removeAll(config);
  else await run(config);
} catch (error) {
  if (error instanceof PreflightError) {
    for (const { name, found, remedy, result } of error.checks) {
      if (result === 'failed') log.fatal({ check: name, remedy }, found);
    }
    process.exitCode = 3;
  } else if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\nTry --help.\n`);
    process.exitCode = 2;
  } else {
    log.fatal({ error }, toError(error).message);
    process.exitCode = 1;
  }
}

async function run(config: Config): Promise<void> {
  const { nodeName, netnsDir: netnsDirectory } = config;
  const monotonic = () => performance.now();
  const resyncMs = config.resyncSeconds * 1000;
  const { shaper, cgroups, cgroupMount, canEnterNamespaces, ...node } = await openNode(config);
  const marker = canEnterNamespaces ? node.marker : undefined;
  shaper.install();
  if (!canEnterNamespaces) log.info(noNamespaces);
  else if (shaper.adopter() === undefined) log.warn(noAdopter);
  const queues = createQueues({ enabled: config.ingressQueue, shaper, log });
  const kubeConfig = loadKubeConfig();
  const onFirstPass = () => {
    if (config.startupTaint) keepRemovingStartupTaint(kubeConfig, nodeName, realClock, log);
  };
  const parts = { shaper, marker, cgroups, queues, onFirstPass, log, monotonic, clock: realClock, now: Date.now };
  const agent = startAgent({ kubeConfig, nodeName, resyncMs, netnsDirectory, ...parts });
  const metrics = () => renderMetrics(shaper, agent.state());
  const server = createServer(createHandler({ state: agent.state, metrics, resyncMs, monotonic }));
  server.once('error', (error) => {
    const advice = 'choose another one with --port, and the address with --address';
    log.fatal({ error: error.message }, `cannot listen on port ${config.port} of ${config.address}: ${advice}`);
    process.exit(1);
  });
  server.listen(config.port, config.address, () => {
    const { port, address } = server.address() as AddressInfo;
    log.info({ nodeName, address, port, cgroupMount }, 'the agent runs');
  });

  const stop = async (signal: string) => {
    log.info({ signal }, 'the agent ends; limits stay in force');
    server.close();
    server.closeAllConnections();
    await agent.stop();
    process.exit(0);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

async function removeAll(config: Config): Promise<void> {
  const errors = await uninstall(await openNode(config), await mountedNamespaces(config.netnsDir), wait);
  for (const error of errors) log.error({ error: error.message }, 'something of podrate stays');
  if (errors.length > 0) {
    process.exitCode = 1;
    return;
  }
  log.info('all limits are off this node, and all pins are removed');
  try {
    await tellUninstalled(loadKubeConfig(), config.nodeName, Date.now);
  } catch (error) {
    log.warn({ error: toError(error).message }, 'the pods could not be told');
  }
}

function loadKubeConfig(): KubeConfig {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  return kubeConfig;
}
