/** The node agent's process: configuration, wiring, signals. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { pino } from 'pino';
import { noAdopter, noRelease, startAgent } from './agent.ts';
import { type Config, ConfigError, readConfig, usage } from './config.ts';
import { createHealthApp } from './health.ts';
import { realClock } from './loop.ts';
import { createMetrics } from './metrics.ts';
import { mountedNamespaces } from './network-namespaces.ts';
import { openNode, PreflightError } from './node.ts';
import { createPodDevices } from './pod-devices.ts';
import { removeQueues } from './queue-steps.ts';
import { createQueues } from './queues.ts';
import { createTc } from './tc.ts';
import { tellUninstalled } from './tell-uninstalled.ts';
import { uninstall } from './uninstall.ts';
import { unmark } from './unmark.ts';

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
    log.fatal({ error }, error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

async function run(config: Config): Promise<void> {
  const monotonic = () => performance.now();
  const resyncMs = config.resyncSeconds * 1000;
  const { shaper, marker, cgroups, cgroupMount } = await openNode(config);
  await shaper.install();
  const release = await shaper.installRelease();
  if (release !== undefined) log.warn({ error: release.message }, noRelease);
  if ((await shaper.adopt([])) === undefined) log.warn(noAdopter);
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  const { nodeName, netnsDir: netnsDirectory } = config;
  const devices = createPodDevices(netnsDirectory);
  const { classifier } = shaper;
  const queues = createQueues({ enabled: config.ingressQueue, tc: createTc(), devices, classifier, log });
  const agent = startAgent({
    ...{ kubeConfig, nodeName, shaper, marker, cgroups, resyncMs, netnsDirectory, queues, log, monotonic },
    clock: realClock,
    now: Date.now,
  });
  const metrics = createMetrics(shaper, agent.state);
  const server = createServer(createHealthApp({ state: agent.state, metrics, resyncMs, monotonic }));
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
  const { shaper, marker, cgroups } = await openNode(config);
  const unmarked = await unmark(marker, await mountedNamespaces(config.netnsDir));
  for (const error of unmarked) log.error({ error: error.message }, 'a network namespace stays marked');
  await removeQueues(createTc());
  const failures = await uninstall(shaper, cgroups, wait);
  for (const { step, error } of failures) log.error({ step: step.kind, error: error.message }, 'a step failed');
  if (failures.length + unmarked.length > 0) {
    process.exitCode = 1;
    return;
  }
  log.info('all limits are off this node, and all pins are removed');
  try {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromDefault();
    await tellUninstalled(kubeConfig, config.nodeName, realClock, Date.now);
  } catch (error) {
    log.warn({ error: error instanceof Error ? error.message : String(error) }, 'the pods could not be told');
  }
}
