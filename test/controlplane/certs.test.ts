import { X509Certificate } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { isTrusted } from '../../certs/trust.ts';
import { issueSet, writePair } from '../certs/pairs.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { accountKubeconfig, applyManifests, podrateNamespace } from './installation.ts';
import { certificateRights, removeCertificateRight } from './rights.ts';
import { type HostWebhook, installReplicas, startReplicas } from './webhook.ts';

const manifests = new URL('../../manifests', import.meta.url).pathname;
const kinds = ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'];
const soon = { timeout: 60_000, interval: 200 };

let cluster: Cluster;
let webhook: HostWebhook;
let second: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  [webhook, second] = (await installReplicas(cluster, 2)) as [HostWebhook, HostWebhook];
});

afterAll(async () => {
  await Promise.all([webhook?.stop(), second?.stop()]);
  await cluster?.stop();
});

const kubectl = (...args: string[]) => cluster.kubectl(args, { reject: false });
const json = async (...args: string[]) => JSON.parse((await cluster.kubectl([...args, '-o', 'json'])).stdout);
const decode = (text = '') => Buffer.from(text, 'base64').toString();
const encode = (text: string) => Buffer.from(text).toString('base64');

const secret = () => json('get', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace);
const authority = async () => decode((await secret()).data['tls.crt']);
const deleteSecret = () => kubectl('delete', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace);

/** The caBundle of each webhook of both configurations, PEM. */
async function bundles(): Promise<string[]> {
  const found = await Promise.all(kinds.map((kind) => json('get', kind, 'podrate')));
  return found.flatMap(({ webhooks }) =>
    webhooks.map(({ clientConfig }: { clientConfig: { caBundle?: string } }) => decode(clientConfig.caBundle)),
  );
}

async function expectOwnBundles(): Promise<void> {
  const { data } = await secret();
  expect(new Set(await bundles())).toEqual(new Set([decode(data['ca.crt'])]));
}

/** Writes a caBundle into every webhook of a configuration, as another program. */
async function overwrite(kind: string, bundle: string): Promise<void> {
  const { webhooks } = await json('get', kind, 'podrate');
  const patch = webhooks.map((_: object, index: number) => ({
    op: 'add',
    path: `/webhooks/${index}/clientConfig/caBundle`,
    value: encode(bundle),
  }));
  await cluster.kubectl(['patch', kind, 'podrate', '--type=json', '-p', JSON.stringify(patch)]);
}

const foreignAuthority = async () => (await issueSet(['foreign'])).authority.certificate;
const counter = async (replica: HostWebhook, name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await replica.page('/metrics'))?.[1]);
const repairs = async () => {
  const counts = await Promise.all(
    [webhook, second].map((one) => counter(one, 'podrate_webhook_ca_bundle_repairs_total')),
  );
  return counts.reduce((sum, count) => sum + count, 0);
};
const events = async (reason: string) => {
  const { items } = await json('get', 'events', '-n', podrateNamespace, '--field-selector', `reason=${reason}`);
  return items.map(({ note, message }: { note?: string; message?: string }) => note ?? message);
};

/** The certificate that a replica serves. */
async function served(port: number): Promise<X509Certificate> {
  const options = `{ host: '${cluster.hostAddress}', port: ${port}, rejectUnauthorized: false }`;
  const script = `const socket = require('node:tls').connect(${options}, () => {
    console.log(socket.getPeerX509Certificate().toString());
    socket.destroy();
  })`;
  return new X509Certificate((await cluster.spawn(process.execPath, ['-e', script])).stdout);
}

/** Waits until both replicas serve certificates of an authority. */
async function expectServedBy(pem: string): Promise<void> {
  const { publicKey } = new X509Certificate(pem);
  await vi.waitFor(async () => {
    const certificates = await Promise.all([8443, 8444].map(served));
    expect(certificates.map((certificate) => certificate.verify(publicKey))).toEqual([true, true]);
  }, soon);
}

/** Creates a pod and a namespace as a dry run. @returns whether the pod was stamped and the namespace's wrong policy refused */
async function isAnswered(): Promise<boolean> {
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

describe('an installation', () => {
  test('has one authority, which all webhooks trust, though two replicas started at once', async () => {
    await expectOwnBundles();
    await expectServedBy(await authority());
    expect((await bundles())[0]?.match(/BEGIN/g)).toHaveLength(1);
    expect(await events('AuthorityIssued')).toHaveLength(1);
    expect(await repairs()).toBe(0);
    expect(await isAnswered()).toBe(true);
  });

  test('differs in nothing from the manifests, and applying them again changes nothing', async () => {
    const before = [await secret(), await bundles()];
    for (const way of [[], ['--server-side', '--force-conflicts']]) {
      expect(await kubectl('diff', '-k', manifests, ...way)).toMatchObject({ exitCode: 0, stdout: '' });
    }
    const { stdout } = await cluster.kubectl(['apply', '-k', manifests]);
    expect(stdout.split('\n').filter((line) => !line.endsWith(' unchanged'))).toEqual([]);
    await cluster.kubectl(['apply', '-k', manifests, '--server-side', '--force-conflicts']);
    await cluster.kubectl(['apply', '-k', manifests]);
    expect([await secret(), await bundles()]).toEqual(before);
    expect(await repairs()).toBe(0);
  });
});

describe('a caBundle that another program changed', () => {
  test.each<[string, () => Promise<string>, string[]]>([
    ['the one of another authority in both configurations', foreignAuthority, kinds],
    ['the one of another authority in the validating configuration', foreignAuthority, kinds.slice(1)],
    ['an empty one', async () => '', kinds],
  ])('is restored, with a metric and an event: %s', async (_, bundle, changed) => {
    const [count, { length }] = [await repairs(), await events('CABundleRepaired')];
    const text = await bundle();
    await Promise.all(changed.map((kind) => overwrite(kind, text)));
    await vi.waitFor(expectOwnBundles, soon);
    await vi.waitFor(async () => {
      expect(await repairs()).toBe(count + changed.length);
      expect(await events('CABundleRepaired')).toHaveLength(length + changed.length);
    }, soon);
    expect((await events('CABundleRepaired')).at(-1)).toContain('which another writer changed');
    expect(await isAnswered()).toBe(true);
  });

  test('is restored after the configurations were restored from a backup', async () => {
    const backups = await Promise.all(kinds.map((kind) => json('get', kind, 'podrate')));
    const former = (await bundles())[0] ?? '';
    const count = await repairs();
    // The authority that the backup trusts is gone by then.
    await deleteSecret();
    await vi.waitFor(async () => expect(isTrusted((await bundles())[0] ?? '', await authority())).toBe(true), soon);
    await expectServedBy(await authority());
    for (const { metadata, ...backup } of backups) {
      const { name, labels } = metadata;
      await kubectl('delete', backup.kind.toLowerCase(), name);
      await cluster.kubectl(['create', '-f', '-'], {
        input: JSON.stringify({ ...backup, metadata: { name, labels } }),
      });
    }
    expect(former).not.toContain(await authority());
    await vi.waitFor(async () => expect(await repairs()).toBeGreaterThanOrEqual(count + 2), soon);
    await vi.waitFor(expectOwnBundles, soon);
    expect(await isAnswered()).toBe(true);
  });

  test('leaves no replica ready while the configurations do not exist', async () => {
    await kubectl('delete', 'validatingwebhookconfiguration', 'podrate');
    await vi.waitFor(
      () => expect(webhook.page('/readyz')).rejects.toThrow('validatingwebhookconfigurations/podrate does not exist'),
      soon,
    );
    await applyManifests(cluster);
    await vi.waitFor(() => webhook.page('/readyz'), soon);
    await expectOwnBundles();
  });
});

describe('the Secret', () => {
  const damages: Record<string, object> = {
    emptied: { 'tls.crt': '', 'tls.key': '', 'ca.crt': '' },
    'half written': { 'tls.key': null },
    'of foreign content': { 'tls.crt': encode('foreign'), 'tls.key': encode('foreign'), 'ca.crt': encode('foreign') },
  };

  test.each(['deleted', ...Object.keys(damages)])(
    'is made anew when it is %s, without a failed admission',
    async (what) => {
      const former = await authority();
      const answers: boolean[] = [];
      let isRunning = true;
      const clients = Array.from({ length: 3 }, async () => {
        while (isRunning) answers.push(await isAnswered());
      });
      const patch = JSON.stringify({ data: { ...damages[what], note: encode('kept') } });
      if (what === 'deleted') await deleteSecret();
      else await cluster.kubectl(['patch', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace, '-p', patch]);
      await vi.waitFor(async () => expect(await authority()).toContain('BEGIN CERTIFICATE'), soon);
      await vi.waitFor(async () => expect(await authority()).not.toBe(former), soon);
      await expectServedBy(await authority());
      isRunning = false;
      await Promise.all(clients);
      expect(answers.length).toBeGreaterThan(5);
      expect(answers).not.toContain(false);
      await expectOwnBundles();
      const [bundle = ''] = await bundles();
      expect(isTrusted(bundle, former)).toBe(true);
      const { data, metadata } = await secret();
      if (what !== 'deleted') expect(decode(data.note)).toBe('kept');
      const until = Date.parse(metadata.annotations['podrate.dev/former-trusted-until']);
      expect(until - Date.now()).toBeGreaterThan(23 * 3_600_000);
    },
  );

  test('is the only one that the webhook may touch, and may be created under no other name', async () => {
    const kubeconfig = await accountKubeconfig(cluster, 'podrate-webhook');
    const as = ['--kubeconfig', kubeconfig, '-n', podrateNamespace];
    const other = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'other' } };
    const input = JSON.stringify(other);
    for (const args of [['create'], ['apply', '--server-side']]) {
      const { stderr } = await cluster.kubectl([...args, '-f', '-', ...as], { input, reject: false });
      expect(stderr).toContain('forbidden');
    }
    for (const verb of ['list', 'watch', 'delete']) {
      expect((await kubectl('auth', 'can-i', verb, 'secrets', ...as)).stdout.trim()).toBe('no');
    }
  });
});

test.each([-10, 10])(
  'with clocks that differ by ten minutes everything works (first replica: %i minutes)',
  async (minutes) => {
    await Promise.all([webhook.stop(), second.stop()]);
    await deleteSecret();
    const shifted = (by: number) => ({
      NODE_OPTIONS: `--import=${new URL('./clock-shift.ts', import.meta.url).pathname}`,
      CLOCK_SHIFT_MS: String(by * 60_000),
    });
    await webhook.start(shifted(minutes));
    await second.start(shifted(-minutes));
    await expectServedBy(await authority());
    const logged = Number(webhook.lines[0]?.time) - Date.now();
    expect(Math.abs(logged - minutes * 60_000)).toBeLessThan(60_000);
    for (let tries = 0; tries < 6; tries += 1) expect(await isAnswered()).toBe(true);
    const issued = [webhook, second].flatMap(({ lines }) =>
      lines.filter(({ change }) => change === 'authority-issued'),
    );
    expect(issued).toHaveLength(1);
    await Promise.all([webhook.stop(), second.stop()]);
    await Promise.all([webhook.start(), second.start()]);
  },
  180_000,
);

describe('without one of its rights', () => {
  test.each(Object.entries(certificateRights))('to %s, the webhook serves on and logs: %s', async (right, message) => {
    const former = await authority();
    for (const { lines } of [webhook, second]) lines.length = 0;
    await removeCertificateRight(cluster, right);
    // The authorizer notices a changed role a moment later.
    await vi.waitFor(async () => {
      if (/^(create|patch|update) secrets/.test(right)) await deleteSecret();
      if (/^(patch .*configurations|create events)/.test(right)) {
        await Promise.all(kinds.map((kind) => overwrite(kind, '')));
      }
      const failures = [...webhook.lines, ...second.lines].map((line) => JSON.stringify(line));
      expect(failures.filter((line) => line.includes(`${message}`) && line.includes('HTTP 403'))).not.toEqual([]);
    }, soon);
    await applyManifests(cluster);
    await vi.waitFor(expectOwnBundles, soon);
    await vi.waitFor(() => Promise.all([webhook, second].map(({ page }) => page('/readyz'))), soon);
    await expectServedBy(await authority());
    expect(await isAnswered()).toBe(true);
    const [bundle = ''] = await bundles();
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
  await cluster.kubectl(['delete', '-k', manifests, '--ignore-not-found', '--timeout=100s']);
}

test('removal as documented leaves nothing of podrate in the API server', async () => {
  await Promise.all([webhook.stop(), second.stop()]);
  await remove();
  const { stdout } = await cluster.kubectl(['api-resources', '--namespaced=false', '--verbs=list', '-o', 'name']);
  const all = stdout.trim().split('\n').join(',');
  // The API group goes a moment after its only kind.
  const left = async () => (await cluster.kubectl(['get', all, '-o', 'name'])).stdout;
  await vi.waitFor(async () => expect(await left()).not.toContain('podrate'), { timeout: 60_000, interval: 200 });
});

test('with the component cert-manager, the webhook serves what it is given and leaves the caBundle alone', async () => {
  const items = [resource('issuers', 'Issuer'), resource('certificates', 'Certificate')];
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  const folder = join(cluster.dir, 'with-cert-manager');
  await mkdir(folder, { recursive: true });
  await cp(manifests, join(folder, 'manifests'), { recursive: true });
  const kustomization = { resources: ['manifests'], components: ['manifests/cert-manager'] };
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  await vi.waitFor(() => cluster.kubectl(['apply', '-k', folder]), soon);
  for (const kind of kinds) {
    const { metadata } = await json('get', kind, 'podrate');
    expect(metadata.annotations).toMatchObject({ 'cert-manager.io/inject-ca-from': 'podrate-system/podrate-webhook' });
  }
  const deployment = await json('get', 'deployment', 'podrate-webhook', '-n', podrateNamespace);
  expect(deployment.spec.template.spec.containers[0].env).toContainEqual({
    name: 'PODRATE_TLS_DIR',
    value: '/etc/podrate/tls',
  });
  // In place of cert-manager: the files of the Secret, and the caBundle.
  const { authority: issuer, serving } = await issueSet(['podrate-webhook.podrate-system.svc']);
  const tls = join(cluster.dir, 'mounted-tls');
  await writePair(tls, serving);
  for (const kind of kinds) await overwrite(kind, issuer.certificate);
  const [mounted] = (await startReplicas(cluster, 1, '--tls-dir', tls, '--tls-poll', '0.2')) as [HostWebhook];
  try {
    await vi.waitFor(async () => expect(await isAnswered()).toBe(true), soon);
    expect((await kubectl('get', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace)).stderr).toContain(
      'not found',
    );
    const renewed = await issueSet(['podrate-webhook.podrate-system.svc'], issuer);
    await writePair(tls, renewed.serving);
    await vi.waitFor(async () => {
      expect((await served(8443)).toString()).toBe(new X509Certificate(renewed.serving.certificate).toString());
    }, soon);
    expect(await isAnswered()).toBe(true);
    expect(new Set(await bundles())).toEqual(new Set([new X509Certificate(issuer.certificate).toString()]));
    expect(mounted.lines.filter(({ change }) => change !== undefined)).toEqual([]);
  } finally {
    await mounted.stop();
  }
});
