import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { ClusterError } from '../process/error.ts';
import { signalProcess, waitForEnd } from '../process/process.ts';
import type { Report } from '../process/progress.ts';
import { requireRunning, startDaemon } from '../run/daemon.ts';
import { insideNamespace, network } from '../run/network.ts';
import type { Run } from '../run/run.ts';
import type { NamedProcess } from '../run/state.ts';
import { limitPriorityClasses } from './admission-configuration.ts';
import { auditArguments } from './audit.ts';

/** What the control plane is started from. */
export interface ControlPlaneOptions {
  run: Run;
  /** Directory with Kubernetes' programs. */
  programs: string;
  etcd: string;
  /** Directory of createCertificates. */
  certificates: string;
  /** Whether to record who writes pods. */
  audit: boolean;
  /** Switches of the API server. */
  featureGates: Readonly<Record<string, boolean>>;
  /** Priority classes that take a ResourceQuota. */
  limitedPriorityClasses: readonly string[];
  /** Directory of all logs. */
  logs: string;
  logOf: (name: string) => string;
  signal: AbortSignal;
}

/** A running etcd, API server, controller manager and scheduler. */
export interface ControlPlane {
  /** Ends the API server as a rolling update would, starts it anew, and waits until it is ready. Clients see the outage. */
  restartApiServer(): Promise<void>;
}

/** Starts the control plane and waits until pods can be created. */
export async function startControlPlane(options: ControlPlaneOptions, report: Report): Promise<ControlPlane> {
  const { run, programs, etcd, certificates, audit, featureGates, limitedPriorityClasses, logs, logOf } = options;
  const start = (name: string, file: string, args: string[]) =>
    startDaemon(name, file, args, { log: logOf(name), onStart: run.add });
  const data = join(run.state.directory, 'etcd');
  await mkdir(data, { mode: 0o700 });
  const daemons = [await start('etcd', etcd, etcdArguments(data))];
  const recording = audit ? await auditArguments(run.state.directory, logs) : [];
  const limits =
    limitedPriorityClasses.length > 0 ? await limitPriorityClasses(run.state.directory, limitedPriorityClasses) : [];
  const startApiServer = () =>
    start('kube-apiserver', join(programs, 'kube-apiserver'), [
      ...apiServerArguments(certificates),
      ...Object.entries(featureGates).map(([name, isOn]) => `--feature-gates=${name}=${isOn}`),
      ...recording,
      ...limits,
    ]);
  let apiServer = await startApiServer();
  const ready = (path: string) => waitForApi(options, [...daemons, apiServer], ['get', '--raw', path]);
  report('API server starts');
  await ready('/readyz');
  for (const name of ['controller-manager', 'scheduler'] as const) {
    const args = name === 'scheduler' ? schedulerArguments(certificates) : controllerArguments(certificates);
    daemons.push(await start(`kube-${name}`, join(programs, `kube-${name}`), args));
  }
  report('API server is ready, controllers start');
  // Pods of a namespace are refused until the controller manager has made its service account.
  await waitForApi(options, [...daemons, apiServer], ['get', 'serviceaccount', 'default', '--namespace=default']);
  report('control plane is ready');
  return {
    async restartApiServer() {
      await end(apiServer);
      apiServer = await startApiServer();
      await ready('/readyz');
    },
  };
}

async function end(daemon: NamedProcess): Promise<void> {
  signalProcess(daemon, 'SIGTERM');
  if (await waitForEnd([daemon], 5000)) return;
  signalProcess(daemon, 'SIGKILL');
  await waitForEnd([daemon], 5000);
}

async function waitForApi(
  { programs, certificates, logOf, signal }: ControlPlaneOptions,
  daemons: readonly NamedProcess[],
  args: string[],
): Promise<void> {
  const kubeconfig = join(certificates, 'admin.kubeconfig');
  const command = insideNamespace(join(programs, 'kubectl'), ['--kubeconfig', kubeconfig, ...args]);
  const deadline = performance.now() + 120_000;
  for (;;) {
    signal.throwIfAborted();
    await requireRunning(daemons, logOf);
    const { exitCode, stderr } = await execa(...command, { reject: false, timeout: 5000 });
    if (exitCode === 0) return;
    if (performance.now() > deadline) {
      throw new ClusterError('cluster/not-ready', 'the control plane does not get ready.', {
        command: command.flat().join(' '),
        output: stderr,
        log: logOf('kube-apiserver'),
      });
    }
    await sleep(100);
  }
}

// Without fsync: a power cut may lose a cluster that nobody wants to see again.
function etcdArguments(data: string): string[] {
  return [
    '--name=etcd',
    `--data-dir=${data}`,
    '--unsafe-no-fsync',
    '--listen-client-urls=http://127.0.0.1:2379',
    '--advertise-client-urls=http://127.0.0.1:2379',
    '--listen-peer-urls=http://127.0.0.1:2380',
    '--log-level=warn',
  ];
}

// With aggregator routing the API server calls a Service's endpoints itself, also for admission webhooks: no kube-proxy is in
// between, and a webhook on a host process works without any node (a Service without selector, and an EndpointSlice with
// the address network.host).
function apiServerArguments(certificates: string): string[] {
  const file = (name: string) => join(certificates, name);
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    `--advertise-address=${network.host}`,
    `--bind-address=${network.host}`,
    '--secure-port=6443',
    `--service-cluster-ip-range=${network.services}`,
    '--enable-aggregator-routing=true',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--client-ca-file=${file('ca.crt')}`,
    `--tls-cert-file=${file('apiserver.crt')}`,
    `--tls-private-key-file=${file('apiserver.key')}`,
    `--kubelet-client-certificate=${file('apiserver-kubelet-client.crt')}`,
    `--kubelet-client-key=${file('apiserver-kubelet-client.key')}`,
    `--kubelet-certificate-authority=${file('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${file('service-accounts.key')}`,
    `--service-account-signing-key-file=${file('service-accounts.key')}`,
    '--shutdown-delay-duration=0s',
  ];
}

// The clients' own limit of 20 requests a second alone costs the controllers 5 seconds at the start.
const hurry = ['--kube-api-qps=500', '--kube-api-burst=1000'];

function controllerArguments(certificates: string): string[] {
  const file = (name: string) => join(certificates, name);
  return [
    `--kubeconfig=${file('controller-manager.kubeconfig')}`,
    '--bind-address=127.0.0.1',
    '--leader-elect=false',
    ...hurry,
    '--use-service-account-credentials',
    `--root-ca-file=${file('ca.crt')}`,
    `--service-account-private-key-file=${file('service-accounts.key')}`,
  ];
}

function schedulerArguments(certificates: string): string[] {
  return [
    `--kubeconfig=${join(certificates, 'scheduler.kubeconfig')}`,
    '--bind-address=127.0.0.1',
    '--leader-elect=false',
    ...hurry,
  ];
}
