import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { type HostWebhook, installWebhook } from './harness/webhook.ts';

const manifests = new URL('../../manifests', import.meta.url).pathname;
let cluster: Cluster;
let webhook: HostWebhook;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'podrate-bandwidth-'));
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  await webhook.stop();
  const component = relative(folder, join(manifests, 'bandwidth-annotations'));
  const kustomization = { resources: [relative(folder, manifests)], components: [component] };
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  await cluster.kubectl(['apply', '-k', folder]);
  await webhook.start({ PODRATE_BANDWIDTH_ANNOTATIONS: 'true' });
});
afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

const annotations = { 'kubernetes.io/egress-bandwidth': '10M', 'kubernetes.io/ingress-bandwidth': '80M' };
const stored = async (name: string, metadata: object) => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...metadata },
    spec: { containers: [{ name: 'web', image: 'web' }] },
  };
  const { stdout, stderr } = await cluster.kubectl(['apply', '-o', 'json', '-f', '-'], { input: JSON.stringify(pod) });
  return { ...JSON.parse(stdout).metadata, stderr };
};

test('with the component a pod without a rate label is limited by the annotations of CNI plugins, in bytes', async () => {
  // Until the webhook has written the new registration's caBundle.
  const { labels, annotations: written } = await vi.waitFor(
    async () => {
      await cluster.kubectl(['delete', 'pod', 'web', '--ignore-not-found', '--now']);
      const pod = await stored('web', { annotations });
      expect(pod.labels).toBeDefined();
      return pod;
    },
    { timeout: 60_000, interval: 500 },
  );
  expect(labels).toEqual({ 'rate-egress': '1.25M', 'rate-ingress': '10M', 'podrate.dev/shaped': 'true' });
  expect(written['podrate.dev/limit']).toBe('{"egress":1250000,"ingress":10000000}');
});

test('a rate label wins, and the writer is told what the annotation would be as a rate', async () => {
  const { annotations: written, stderr } = await stored('labelled', { labels: { rate: '2M' }, annotations });
  expect(written['podrate.dev/limit']).toBe('{"egress":2000000,"ingress":2000000}');
  expect(stderr).toContain('kubernetes.io/egress-bandwidth counts bits (10M is rate 1.25M)');
});

test('a pod without either is none of the business of the webhook', async () => {
  const { labels = {} } = await stored('plain', {});
  expect(labels).toEqual({});
});
