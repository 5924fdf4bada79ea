import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { applyManifests, podrateNamespace } from './installation.ts';
import { type HostWebhook, installCertificates, installWebhook } from './webhook.ts';

let cluster: Cluster;
let webhook: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

async function read(kind: string, name: string, path: string): Promise<string> {
  return (await cluster.kubectl(['get', kind, name, '-n', podrateNamespace, '-o', `jsonpath=${path}`])).stdout;
}

const authority = () => read('secret', 'podrate-ca', '{.data.tls\\.crt}');
const serving = () => read('secret', 'podrate-webhook-tls', '{.data.tls\\.crt}');

/** The bundle that all webhooks of both configurations trust. */
async function bundle(): Promise<string> {
  const kinds = ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'];
  const all = async (path: string) =>
    (await Promise.all(kinds.map((kind) => read(kind, 'podrate', path)))).flatMap((text) => text.split(' '));
  const names = await all('{.webhooks[*].name}');
  const bundles = await all('{.webhooks[*].clientConfig.caBundle}');
  expect(bundles).toHaveLength(names.length);
  expect(new Set(bundles).size).toBe(1);
  return bundles[0] ?? '';
}

const renewals = () => webhook.lines.filter(({ msg }) => msg === 'certificate renewed').length;

/** Creates a pod and a namespace as a dry run, and tells whether the one was stamped and the other's wrong policy refused. */
async function isAsked(): Promise<boolean> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'probe-', labels: { rate: '1M' } },
    spec: { containers: [{ name: 'web', image: 'web' }] },
  };
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'without-mode', labels: { 'podrate.dev/max': '1M' } },
  };
  const args = ['create', '-f', '-', '--dry-run=server', '-o', 'jsonpath={.metadata.labels.podrate\\.dev/shaped}'];
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [pod, namespace] });
  const { stdout, stderr } = await cluster.kubectl(args, { input, reject: false });
  return stdout === 'true' && stderr.includes('podrate.dev/max does nothing without a mode');
}

test('an installation with the rights of the shipped role is trusted by the API server', async () => {
  expect(await bundle()).toBe(await authority());
  expect(await isAsked()).toBe(true);
});

test('a second installation changes nothing, also after the manifests were applied again', async () => {
  const before = [await authority(), await serving(), await bundle()];
  await applyManifests(cluster);
  expect(await installCertificates(cluster)).toMatchObject({
    exitCode: 0,
    stdout: 'All certificates are good; nothing was changed.',
  });
  expect([await authority(), await serving(), await bundle()]).toEqual(before);
});

test('a renewed certificate is taken into use without a failed admission', async () => {
  const before = [await authority(), await serving()];
  const answers: boolean[] = [];
  let running = true;
  const clients = Array.from({ length: 4 }, async () => {
    while (running) answers.push(await isAsked());
  });
  for (const turn of [1, 2, 3]) {
    expect(await installCertificates(cluster, '--renew')).toMatchObject({ exitCode: 0 });
    await webhook.copyCertificate();
    await vi.waitFor(() => expect(renewals()).toBe(turn), { timeout: 60_000 });
  }
  running = false;
  await Promise.all(clients);
  expect(answers.length).toBeGreaterThan(10);
  expect(answers).not.toContain(false);
  expect(await authority()).toBe(before[0]);
  expect(await serving()).not.toBe(before[1]);
});

test('a new authority is trusted beside the old one, and no admission fails in between', async () => {
  const old = await bundle();
  await cluster.kubectl(['delete', 'secret', 'podrate-ca', '-n', podrateNamespace]);
  const installed = installCertificates(cluster);
  const answers = [await isAsked(), await isAsked()];
  expect(await installed).toMatchObject({ exitCode: 0 });
  answers.push(await isAsked());
  const before = renewals();
  await webhook.copyCertificate();
  await vi.waitFor(() => expect(renewals()).toBe(before + 1), { timeout: 60_000 });
  answers.push(await isAsked());
  // On open connections the API server has not seen the new certificate yet.
  await webhook.stop();
  await webhook.start();
  answers.push(await isAsked());
  expect(answers).not.toContain(false);
  const trusted = Buffer.from(await bundle(), 'base64').toString();
  expect(trusted).toContain(Buffer.from(old, 'base64').toString());
  expect(trusted.match(/BEGIN/g)).toHaveLength(2);
});

test('five installations at once end with one working set', async () => {
  await cluster.kubectl(['delete', 'secret', 'podrate-ca', 'podrate-webhook-tls', '-n', podrateNamespace]);
  const results = await Promise.all(Array.from({ length: 5 }, () => installCertificates(cluster)));
  expect(results.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0, 0]);
  await webhook.copyCertificate();
  await vi.waitFor(async () => expect(await isAsked()).toBe(true), { timeout: 60_000, interval: 300 });
  const trusted = Buffer.from(await bundle(), 'base64').toString();
  expect(trusted).toContain(Buffer.from(await authority(), 'base64').toString());
});

test.each([
  ['role', '/rules/1/verbs', '["get"]', '"update" on secrets with the resource name podrate-webhook-tls'],
  ['role', '/rules/1/verbs', '["update"]', '"get" on secrets with the resource name podrate-ca'],
  ['role', '/rules/0/verbs', '["list"]', '"create" on secrets'],
  ['clusterrole', '/rules/0/verbs', '["patch"]', '"get" on mutatingwebhookconfigurations'],
  ['clusterrole', '/rules/0/verbs', '["get"]', '"patch" on mutatingwebhookconfigurations'],
  ['clusterrole', '/rules/1/verbs', '["patch"]', '"get" on validatingwebhookconfigurations'],
  ['clusterrole', '/rules/1/verbs', '["get"]', '"patch" on validatingwebhookconfigurations'],
])('without one of its rules (%s %s to %s) the installation fails and names it', async (kind, path, verbs, words) => {
  const patch = `[{"op":"replace","path":"${path}","value":${verbs}}]`;
  await cluster.kubectl(['patch', kind, 'podrate-certs', '-n', podrateNamespace, '--type=json', '-p', patch]);
  // The authorizer sees a changed role a moment later.
  await vi.waitFor(
    async () => {
      // The authority gone: every call is needed, also after a try that the old role still allowed.
      if (!words.includes('update')) {
        await cluster.kubectl(['delete', 'secret', 'podrate-ca', '-n', podrateNamespace, '--ignore-not-found']);
      }
      const result = await installCertificates(cluster, '--renew');
      expect(result.exitCode).toBe(3);
      expect(result.stderr).toContain(`needs the verb ${words}`);
    },
    { timeout: 60_000, interval: 100 },
  );
  await applyManifests(cluster);
});

test('removal as documented leaves nothing of podrate in the API server', async () => {
  const manifests = new URL('../../manifests', import.meta.url).pathname;
  await cluster.kubectl(['delete', 'mutatingwebhookconfiguration,validatingwebhookconfiguration', 'podrate']);
  await cluster.kubectl(['delete', '-k', manifests, '--ignore-not-found', '--timeout=100s']);
  const { stdout } = await cluster.kubectl(['api-resources', '--namespaced=false', '--verbs=list', '-o', 'name']);
  const kinds = stdout.trim().split('\n').join(',');
  // The API group goes a moment after its only kind.
  const left = async () => (await cluster.kubectl(['get', kinds, '-o', 'name'])).stdout;
  await vi.waitFor(async () => expect(await left()).not.toContain('podrate'), { timeout: 60_000, interval: 200 });
});
