import { X509Certificate } from 'node:crypto';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type InstallOptions, install } from '../../certs/install.ts';
import { certificateObjects } from '../../certs/objects.ts';
import { FakeApiServer, mutatingPath, secretsPath, validatingPath } from './fake-api-server.ts';

vi.setConfig({ testTimeout: 60_000 });

const dnsNames = ['podrate-webhook.podrate-system.svc'];
let server: FakeApiServer;
let sentences: string[];

beforeEach(async () => {
  server = await FakeApiServer.start();
  sentences = [];
});

afterEach(() => server.stop());

function run(changes: Partial<InstallOptions> = {}): Promise<number> {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromString(server.kubeconfig);
  return install({
    objects: certificateObjects(kubeConfig, 'podrate-system'),
    authoritySecret: 'podrate-ca',
    servingSecret: 'podrate-webhook-tls',
    webhookConfiguration: 'podrate',
    dnsNames,
    authorityDays: 3650,
    servingDays: 365,
    renew: false,
    patienceMs: 0,
    retryMs: 20,
    now: () => new Date(),
    say: (sentence) => sentences.push(sentence),
    ...changes,
  });
}

const verified = () => {
  const issuer = new X509Certificate(server.secret('podrate-ca', 'tls.crt'));
  return new X509Certificate(server.secret('podrate-webhook-tls', 'tls.crt')).verify(issuer.publicKey);
};

describe('an installation', () => {
  test('makes both Secrets and the trust in them, and a second one changes nothing', async () => {
    expect(await run()).toBe(3);
    expect(verified()).toBe(true);
    expect(server.bundle).toBe(server.secret('podrate-ca', 'tls.crt'));
    expect(server.secret('podrate-webhook-tls', 'ca.crt')).toBe(server.bundle);
    const before = structuredClone([...server.objects]);
    expect(await run()).toBe(0);
    expect([...server.objects]).toEqual(before);
  });

  test('says what it did and never a key', async () => {
    await run();
    expect(sentences).toHaveLength(3);
    expect(sentences.join('\n')).not.toMatch(/PRIVATE KEY|secret-token/);
  });

  test('renews the serving certificate and keeps the authority when it is asked to', async () => {
    await run();
    const [authority, serving] = [
      server.secret('podrate-ca', 'tls.crt'),
      server.secret('podrate-webhook-tls', 'tls.crt'),
    ];
    expect(await run({ renew: true })).toBe(1);
    expect(server.secret('podrate-ca', 'tls.crt')).toBe(authority);
    expect(server.secret('podrate-webhook-tls', 'tls.crt')).not.toBe(serving);
    expect(verified()).toBe(true);
  });

  test('trusts the old authority too after its Secret was lost', async () => {
    await run();
    const old = server.bundle;
    server.objects.delete(`${secretsPath}/podrate-ca`);
    await run();
    expect(server.bundle).toContain(old);
    expect(server.bundle.match(/BEGIN/g)).toHaveLength(2);
    expect(verified()).toBe(true);
  });

  test('signs nothing with a new authority before both configurations trust it, and completes what was cut off between them', async () => {
    await run();
    const old = server.bundle;
    const serving = server.secret('podrate-webhook-tls', 'tls.crt');
    server.objects.delete(`${secretsPath}/podrate-ca`);
    server.fault = (method, path) => (method === 'PATCH' && path === validatingPath ? 503 : undefined);
    await expect(run()).rejects.toThrow('503');
    expect(server.secret('podrate-webhook-tls', 'tls.crt')).toBe(serving);
    server.fault = () => undefined;
    sentences = [];
    await run();
    expect(sentences[0]).toContain('Wrote the trusted bundle of validatingwebhookconfigurations/podrate, because');
    expect(server.bundle).toBe(server.secret('podrate-ca', 'tls.crt') + old);
    expect(verified()).toBe(true);
  });

  test('keeps what else is in a Secret', async () => {
    await run();
    const path = `${secretsPath}/podrate-webhook-tls`;
    server.put(path, { metadata: { name: 'podrate-webhook-tls' }, type: 'Opaque', data: { note: 'aGk=' } });
    await run();
    expect(server.objects.get(path)).toMatchObject({ type: 'Opaque', data: { note: 'aGk=' } });
    expect(verified()).toBe(true);
  });

  test('ends with one working set when five run at once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => run({ patienceMs: 30_000 })));
    expect(verified()).toBe(true);
    expect(server.bundle).toContain(server.secret('podrate-ca', 'tls.crt'));
    expect(await run()).toBe(0);
  });

  test.each([
    ['mutating', mutatingPath],
    ['validating', validatingPath],
  ])('waits for the %s webhook configuration, and outlasts errors and dropped connections', async (_, path) => {
    const configuration = server.objects.get(path);
    if (configuration === undefined) throw new Error('the server has no webhook configuration');
    server.objects.delete(path);
    let calls = 0;
    server.fault = () => {
      calls += 1;
      if (calls === 10) server.put(path, configuration);
      return calls < 4 ? 503 : calls < 7 ? 'drop' : undefined;
    };
    await run({ patienceMs: 30_000 });
    server.fault = () => undefined;
    expect(verified()).toBe(true);
    expect(sentences.join('\n')).toContain('the server said 503');
  });

  test('uses only the calls that its role allows', async () => {
    await run();
    await run({ renew: true });
    expect([...new Set(server.requests)].sort()).toEqual(
      [
        `GET ${secretsPath}/podrate-ca`,
        `GET ${secretsPath}/podrate-webhook-tls`,
        `GET ${mutatingPath}`,
        `GET ${validatingPath}`,
        `PATCH ${mutatingPath}`,
        `PATCH ${validatingPath}`,
        `POST ${secretsPath}`,
        `PUT ${secretsPath}/podrate-webhook-tls`,
      ].sort(),
    );
  });
});

describe('a failed installation', () => {
  test.each([
    [
      'GET',
      secretsPath,
      'the Role of this service account needs the verb "get" on secrets with the resource name podrate-ca',
    ],
    ['POST', secretsPath, 'the Role of this service account needs the verb "create" on secrets, as in'],
    [
      'GET',
      mutatingPath,
      'the ClusterRole of this service account needs the verb "get" on mutatingwebhookconfigurations',
    ],
    ['GET', validatingPath, 'needs the verb "get" on validatingwebhookconfigurations with the resource name podrate'],
    ['PATCH', mutatingPath, 'needs the verb "patch" on mutatingwebhookconfigurations with the resource name podrate'],
    [
      'PATCH',
      validatingPath,
      'needs the verb "patch" on validatingwebhookconfigurations with the resource name podrate',
    ],
  ])('names the missing rule when %s on %s is forbidden, and does not try again', async (method, path, words) => {
    server.fault = (asked, at) => (asked === method && at.startsWith(path) ? 403 : undefined);
    const failure = run({ patienceMs: 30_000 });
    await expect(failure).rejects.toMatchObject({ code: 'api/forbidden' });
    await expect(failure).rejects.toThrow(words);
  });

  test.each([mutatingPath, validatingPath])(
    'says that the manifests come first when %s does not appear',
    async (path) => {
      server.objects.delete(path);
      await expect(run()).rejects.toThrow('does not exist; apply the manifests first');
    },
  );

  test('says that the API server did not answer', async () => {
    server.fault = () => 'drop';
    await expect(run()).rejects.toMatchObject({ code: 'api/unavailable' });
    await expect(run()).rejects.toThrow('the API server did not answer');
  });

  test('says what the API server found wrong', async () => {
    server.fault = (method) => (method === 'POST' ? 422 : undefined);
    await expect(run({ patienceMs: 30_000 })).rejects.toThrow('422, the server said 422');
  });
});
