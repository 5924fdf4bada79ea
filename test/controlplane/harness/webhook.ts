import process from 'node:process';
import { vi } from 'vitest';
import type { Cluster } from '../../cluster/cluster.ts';
import { jsonLines } from '../../webhook/json-lines.ts';
import { accountKubeconfig, applyManifests, podrateNamespace, readPage } from './installation.ts';

const ports = [
  { https: 8443, http: 8080 },
  { https: 8444, http: 8081 },
] as const;

/** The webhook as a process on the host, reached by the API server through the shipped Service. */
export interface HostWebhook {
  /** Starts the process and waits until it is ready. @param env more environment variables */
  start(env?: Readonly<Record<string, string>>): Promise<void>;
  /** Ends it with SIGTERM and gives its exit code. */
  stop(): Promise<number | undefined>;
  /** Suspends it, as a node does that has no time for it: connections are taken, and nothing is answered. */
  suspend(): void;
  resume(): void;
  /** Reads one of its pages. */
  page(path: string): Promise<string>;
  /** How many admissions it has counted since its start. */
  admissions(): Promise<number>;
  /** Its log lines since its start. */
  readonly lines: Record<string, unknown>[];
}

/** Applies the manifests, and runs the webhook on the host behind the shipped Service, with the rights of its account. */
export async function installWebhook(cluster: Cluster): Promise<HostWebhook> {
  const [webhook] = await installReplicas(cluster, 1);
  return webhook as HostWebhook;
}

/** Does so with one or two replicas. @param options more arguments of theirs */
export async function installReplicas(cluster: Cluster, count: 1 | 2, ...options: string[]): Promise<HostWebhook[]> {
  await applyManifests(cluster);
  return startReplicas(cluster, count, ...options);
}

/** Runs one or two replicas on the host, where the manifests are applied. @param options more arguments of theirs */
export async function startReplicas(cluster: Cluster, count: 1 | 2, ...options: string[]): Promise<HostWebhook[]> {
  const items = ports.slice(0, count).map(({ https }) => endpoints(cluster, https));
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const kubeconfig = await accountKubeconfig(cluster, 'podrate-webhook');
  const webhooks = ports.slice(0, count).map((own) => hostWebhook(cluster, kubeconfig, own, options));
  await Promise.all(webhooks.map((webhook) => webhook.start()));
  return webhooks;
}

// Joins the slice that the controllers make for the Service, which is empty as long as no pod of the webhook runs.
function endpoints({ hostAddress }: Cluster, port: number) {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `podrate-webhook-on-host-${port}`,
      namespace: podrateNamespace,
      labels: { 'kubernetes.io/service-name': 'podrate-webhook' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'https', port, protocol: 'TCP' }],
    endpoints: [{ addresses: [hostAddress], conditions: { ready: true } }],
  };
}

function hostWebhook(
  cluster: Cluster,
  kubeconfig: string,
  own: (typeof ports)[number],
  more: readonly string[],
): HostWebhook {
  const listen = ['--port', String(own.https), '--http-port', String(own.http)];
  const options = ['--kubeconfig', kubeconfig, '--tls-poll', '1', '--drain', '0.5', '--log-level', 'debug'];
  const args = ['webhook/main.ts', ...listen, ...options, ...more];
  const lines: Record<string, unknown>[] = [];
  const page = (path: string) => readPage(cluster, `http://${cluster.hostAddress}:${own.http}${path}`);
  const spawn = (env: Readonly<Record<string, string>> = {}) =>
    cluster.spawn(process.execPath, args, { env, reject: false, buffer: false });
  let child: ReturnType<typeof spawn> | undefined;
  return {
    lines,
    page,
    async start(env) {
      lines.length = 0;
      child = spawn(env);
      jsonLines(child.stdout, lines);
      child.stderr.pipe(process.stderr);
      await vi.waitFor(() => page('/readyz'), { timeout: 60_000, interval: 200 });
    },
    suspend: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async stop() {
      child?.kill('SIGCONT');
      child?.kill('SIGTERM');
      return (await child)?.exitCode;
    },
    async admissions() {
      const text = await page('/metrics');
      const counts = [...text.matchAll(/^podrate_admissions_total\{.*\} (\d+)$/gm)].map(([, count]) => Number(count));
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}
