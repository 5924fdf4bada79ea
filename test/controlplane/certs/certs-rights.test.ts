import { X509Certificate } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { isTrusted } from '../../../certs/trust.ts';
import { issueSet, writePair } from '../../certs/pairs.ts';
import { configurationKinds as kinds, soon } from '../harness/certificate-view.ts';
import { applyManifests, podrateNamespace } from '../harness/installation.ts';
import { certificateRights, removeCertificateRight } from '../harness/rights.ts';
import { manifests, useTwoReplicas } from '../harness/two-replicas.ts';
import { type HostWebhook, startReplicas } from '../harness/webhook.ts';

const { cluster, replicas, stopReplicas, view, kubectl } = useTwoReplicas();

describe('without one of its rights', () => {
  test.each(Object.entries(certificateRights))('to %s, the webhook serves on and logs: %s', async (right, message) => {
    const former = await view.authority();
    for (const { lines } of replicas) lines.length = 0;
    await removeCertificateRight(cluster(), right);
    // The authorizer notices a changed role a moment later.
    await vi.waitFor(async () => {
      if (/^(create|patch|update) secrets/.test(right)) await view.deleteSecret();
      if (/^patch .*configurations/.test(right)) {
        await Promise.all(kinds.map((kind) => view.overwrite(kind, '')));
      }
      const failures = replicas.flatMap(({ lines }) => lines).map((line) => JSON.stringify(line));
      expect(failures.filter((line) => line.includes(message) && line.includes('HTTP 403'))).not.toEqual([]);
    }, soon);
    await applyManifests(cluster());
    await vi.waitFor(view.expectOwnBundles, soon);
    await vi.waitFor(() => Promise.all(replicas.map(({ page }) => page('/readyz'))), soon);
    await view.expectServedBy(await view.authority());
    expect(await view.isAnswered()).toBe(true);
    const [bundle = ''] = await view.bundles();
    expect(isTrusted(bundle, former)).toBe(true);
  });
});

const resource = (plural: string, kind: string) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.cert-manager.io` },
  spec: {
    group: 'cert-manager.io',
    scope: 'Namespaced',
    names: { plural, kind },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
});

async function remove(): Promise<void> {
  await kubectl('delete', 'mutatingwebhookconfiguration,validatingwebhookconfiguration', 'podrate');
  await cluster().kubectl(['delete', '-k', manifests, '--ignore-not-found', '--timeout=100s']);
}

test('removal as documented leaves nothing of podrate in the API server', async () => {
  await stopReplicas();
  await remove();
  const { stdout } = await cluster().kubectl(['api-resources', '--namespaced=false', '--verbs=list', '-o', 'name']);
  const all = stdout.trim().split('\n').join(',');
  // The API group goes a moment after its only kind.
  const left = async () => (await cluster().kubectl(['get', all, '-o', 'name'])).stdout;
  await vi.waitFor(async () => expect(await left()).not.toContain('podrate'), { timeout: 60_000, interval: 200 });
});

test('with the component cert-manager, the webhook serves what it is given and leaves the caBundle alone', async () => {
  const items = [resource('issuers', 'Issuer'), resource('certificates', 'Certificate')];
  await cluster().kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  await cluster().kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  const folder = join(cluster().dir, 'with-cert-manager');
  await mkdir(folder, { recursive: true });
  await cp(manifests, join(folder, 'manifests'), { recursive: true });
  const kustomization = { resources: ['manifests'], components: ['manifests/cert-manager'] };
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  await vi.waitFor(() => cluster().kubectl(['apply', '-k', folder]), soon);
  for (const kind of kinds) {
    const { metadata } = await view.json('get', kind, 'podrate');
    expect(metadata.annotations).toMatchObject({ 'cert-manager.io/inject-ca-from': 'podrate-system/podrate-webhook' });
  }
  const deployment = await view.json('get', 'deployment', 'podrate-webhook', '-n', podrateNamespace);
  expect(deployment.spec.template.spec.containers[0].env).toContainEqual({
    name: 'PODRATE_TLS_DIR',
    value: '/etc/podrate/tls',
  });
  // In place of cert-manager: the files of the Secret, and the caBundle.
  const { authority: issuer, serving } = await issueSet(['podrate-webhook.podrate-system.svc']);
  const tls = join(cluster().dir, 'mounted-tls');
  await writePair(tls, serving);
  for (const kind of kinds) await view.overwrite(kind, issuer.certificate);
  const [mounted] = (await startReplicas(cluster(), 1, '--tls-dir', tls, '--tls-poll', '0.2')) as [HostWebhook];
  try {
    await vi.waitFor(async () => expect(await view.isAnswered()).toBe(true), soon);
    expect((await kubectl('get', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace)).stderr).toContain(
      'not found',
    );
    const renewed = await issueSet(['podrate-webhook.podrate-system.svc'], issuer);
    await writePair(tls, renewed.serving);
    await vi.waitFor(async () => {
      expect((await view.served(8443)).toString()).toBe(new X509Certificate(renewed.serving.certificate).toString());
    }, soon);
    expect(await view.isAnswered()).toBe(true);
    expect(new Set(await view.bundles())).toEqual(new Set([new X509Certificate(issuer.certificate).toString()]));
    expect(mounted.lines.filter(({ change }) => change !== undefined)).toEqual([]);
  } finally {
    await mounted.stop();
  }
});
