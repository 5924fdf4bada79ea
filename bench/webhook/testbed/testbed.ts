import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { serviceNames } from '../../../certs/names.ts';
import { issueSet, writePair } from '../../../test/certs/pairs.ts';
import { type Cluster, startCluster } from '../../../test/cluster/cluster.ts';
import {
  accountKubeconfig,
  applyManifests,
  podrateNamespace,
  readPage,
} from '../../../test/controlplane/harness/installation.ts';
import type { LoadJob, LoadOutcome } from '../load-job.ts';
import type { Variant } from '../variants.ts';
import { bundlePrograms, shippedStart } from './bundle.ts';
import { type HostProcess, startHostProcess } from './host-process.ts';
import { peerRegistrations, podrateRegistrations } from './registrations.ts';

/** The two webhooks, by the names of their Services. */
const services = { podrate: 'podrate-webhook', peer: 'peer' } as const;
const ports = { podrate: 8443, podrateHttp: 8080, peer: 8444 } as const;

/** Whose answers can be asked for without an API server. */
export type WebhookName = keyof typeof services;

/** A control plane with both webhooks. */
export interface Testbed {
  /** Makes an empty namespace in which pods can be created. */
  makeNamespace(name: string, variant: Variant): Promise<void>;
  /** Deletes all pods of a namespace. */
  deletePods(namespace: string): Promise<void>;
  /** Sends requests to the API server as its administrator. */
  loadApiServer(
    job: Pick<LoadJob, 'path' | 'body' | 'expect' | 'first' | 'requests' | 'clients'>,
  ): Promise<LoadOutcome>;
  /** Sends requests to a webhook itself. */
  loadWebhook(
    name: WebhookName,
    job: Pick<LoadJob, 'path' | 'body' | 'expect' | 'first' | 'requests' | 'clients'>,
  ): Promise<LoadOutcome>;
  /** Resident memory of podrate's webhook, and the most that it ever was, in MB. */
  memory: HostProcess['memory'];
  close(): Promise<void>;
}

/** Starts everything. @param peer the Go webhook's program */
export async function openTestbed(peer: string, signal: AbortSignal, say: (line: string) => void): Promise<Testbed> {
  const cluster = await startCluster({
    nodes: 0,
    // Every five minutes an API server would compare its caches with etcd, and list all pods twice for it, in whatever run.
    featureGates: { DetectCacheInconsistency: false },
    signal,
    onProgress: (step, text, state) => state !== 'running' && say(`${step}: ${text}`),
  });
  const processes: HostProcess[] = [];
  const close = async () => {
    await Promise.all(processes.map((each) => each.stop()));
    await cluster.stop();
  };
  try {
    const files = { tls: join(cluster.dir, 'bench-tls'), bundle: join(cluster.dir, 'bench-bundle') };
    await Promise.all([applyManifests(cluster), bundlePrograms(files.bundle)]);
    const dnsNames = Object.values(services).flatMap((name) => serviceNames(name, podrateNamespace));
    const { authority, serving } = await issueSet(dnsNames);
    await writePair(files.tls, serving);
    const podrate = await startPodrate(cluster, files);
    processes.push(podrate);
    processes.push(await startPeer(cluster, peer, files.tls));
    const caBundle = Buffer.from(authority.certificate).toString('base64');
    await apply(cluster, [
      ...[peerService, endpoints(cluster, 'podrate'), endpoints(cluster, 'peer')],
      ...[...(await podrateRegistrations(caBundle)), ...peerRegistrations(services.peer, caBundle)],
    ]);
    const certificates = await adminCertificates(cluster);
    return {
      async makeNamespace(name, { labels }) {
        await apply(cluster, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }]);
        await cluster.kubectl(['wait', '--for=create', 'serviceaccount/default', '-n', name, '--timeout=30s']);
      },
      async deletePods(namespace) {
        await cluster.kubectl(['delete', '--raw', `/api/v1/namespaces/${namespace}/pods`]);
      },
      loadApiServer: (job) =>
        runLoad(cluster, { ...job, ...certificates, origin: `https://${cluster.hostAddress}:6443` }),
      loadWebhook: (name, job) =>
        runLoad(cluster, {
          ...{ ...job, authority: authority.certificate, serverName: `${services[name]}.${podrateNamespace}.svc` },
          origin: `https://${cluster.hostAddress}:${ports[name]}`,
        }),
      memory: podrate.memory,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** As the image runs it: bundled, with the environment of the Dockerfile and the arguments of the Deployment. */
async function startPodrate(cluster: Cluster, { tls, bundle }: { tls: string; bundle: string }): Promise<HostProcess> {
  const options = ['--port', String(ports.podrate), '--http-port', String(ports.podrateHttp), '--tls-dir', tls];
  const kubeconfig = await accountKubeconfig(cluster, 'podrate-webhook');
  const { args, env } = await shippedStart();
  return startHostProcess(cluster, {
    command: [process.execPath, ...args, ...options, '--kubeconfig', kubeconfig],
    cwd: bundle,
    env: { ...env, NODE_ENV: 'production', NODE_COMPILE_CACHE: join(bundle, 'compile-cache') },
    log: await logFile(cluster, 'bench-podrate.log'),
    isReady: () => readPage(cluster, `http://${cluster.hostAddress}:${ports.podrateHttp}/readyz`).then(() => true),
  });
}

async function startPeer(cluster: Cluster, program: string, tls: string): Promise<HostProcess> {
  const connect = `require('node:net').connect(${ports.peer}, '${cluster.hostAddress}', () => process.exit())`;
  return startHostProcess(cluster, {
    command: [program, '--port', String(ports.peer), '--tls-dir', tls],
    cwd: cluster.dir,
    log: await logFile(cluster, 'bench-peer.log'),
    isReady: async () => (await cluster.spawn(process.execPath, ['-e', connect], { reject: false })).exitCode === 0,
  });
}

async function logFile(cluster: Cluster, name: string): Promise<string> {
  await mkdir(cluster.logs, { recursive: true });
  return join(cluster.logs, name);
}

async function apply(cluster: Cluster, items: readonly object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await cluster.kubectl(['apply', '-f', '-'], { input });
}

/** Without selector: its only endpoint is the process on the host. */
const peerService = {
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: services.peer, namespace: podrateNamespace } },
  spec: { ports: [{ name: 'https', port: 443 }] },
};

function endpoints({ hostAddress }: Cluster, name: WebhookName) {
  const labels = { 'kubernetes.io/service-name': services[name] };
  return {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: { name: `${services[name]}-on-host`, namespace: podrateNamespace, labels },
    ports: [{ name: 'https', port: ports[name], protocol: 'TCP' }],
    endpoints: [{ addresses: [hostAddress], conditions: { ready: true } }],
  };
}

async function adminCertificates({ kubeconfig }: Cluster): Promise<Pick<LoadJob, 'authority' | 'certificate' | 'key'>> {
  const folder = join(kubeconfig, '..');
  const read = (name: string) => readFile(join(folder, name), 'utf8');
  return { authority: await read('ca.crt'), certificate: await read('admin.crt'), key: await read('admin.key') };
}

async function runLoad(cluster: Cluster, job: LoadJob): Promise<LoadOutcome> {
  const program = join(import.meta.dirname, '../load.ts');
  const input = JSON.stringify(job);
  const { stdout } = await cluster.spawn(process.execPath, [program], { input, maxBuffer: 100_000_000 });
  return JSON.parse(stdout);
}
