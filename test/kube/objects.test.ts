import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readObject, replaceObject } from '../../kube/objects.ts';
import { requestOptions } from '../../kube/request-options.ts';
import { withSharedConnections } from '../../kube/shared-connections.ts';
import { useCertificates } from '../webhook/tls.ts';
import { openSilentPath, type SilentPath } from './silent-path.ts';

const certificates = useCertificates();
let server: ReturnType<typeof createSecureServer>;
let path: SilentPath;
/** The time by which connections are old. */
let nowMs: number;
/** How many calls are to find their connection closed. */
let closing: number;
/** Whether a write is done at once and answered late, as by a server that has too much to do. Others find it done. */
let slow: boolean;
let asked: { url: string | undefined; version: string; authorization: string | undefined }[];

beforeEach(async () => {
  const { certificate: cert, key } = certificates().first.serving;
  asked = [];
  closing = 0;
  nowMs = 0;
  slow = false;
  // As an API server, it would rather speak HTTP/2.
  server = createSecureServer(
    { cert, key, allowHTTP1: true },
    async ({ url, method, httpVersion: version, headers }, response) => {
      asked.push({ url, version, authorization: headers.authorization });
      if (closing > 0) {
        closing -= 1;
        response.stream?.close();
        response.socket?.destroy();
        return;
      }
      if (url?.endsWith('/gone') === true) response.statusCode = 404;
      if (slow && method === 'PUT') {
        if (asked.length === 1) await sleep(1_000);
        else response.statusCode = 409;
      }
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ kind: 'Namespace', metadata: { name: 'shop' } }));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, resolve));
  path = await openSilentPath({ host: 'localhost', port: (server.address() as AddressInfo).port });
});

afterEach(async () => {
  await path.close();
  await new Promise((resolve) => server.close(resolve));
});

const configuration = (prefix = '') => {
  const kubeConfig = new KubeConfig();
  const caData = Buffer.from(certificates().first.authority.certificate).toString('base64');
  const cluster = { name: 'test', server: `https://localhost:${path.port}${prefix}`, skipTLSVerify: false, caData };
  kubeConfig.loadFromClusterAndUser(cluster, { name: 'user', token: 'secret' });
  return withSharedConnections(kubeConfig, () => nowMs);
};
const namespace = { kind: 'Namespace', metadata: { name: 'shop' } };

test('an object is read with the token, on shared connections, also from behind a path', async () => {
  const kubeConfig = configuration('/clusters/one/');
  for (let call = 0; call < 3; call += 1) {
    expect(await readObject(kubeConfig, '/api/v1/namespaces/shop', 5_000)).toEqual(namespace);
  }
  const url = '/clusters/one/api/v1/namespaces/shop';
  expect(asked).toEqual(Array.from({ length: 3 }, () => ({ url, version: '1.1', authorization: 'Bearer secret' })));
  // A call at the heels of another one may find its connection not free yet.
  expect(path.connections()).toBeLessThanOrEqual(2);
});

test('a call whose connection the server closes is made a second time, and not a third time', async () => {
  closing = 1;
  expect(await readObject(configuration(), '/api/v1/namespaces/shop', 5_000)).toEqual(namespace);
  expect(asked).toHaveLength(2);
  closing = 2;
  await expect(readObject(configuration(), '/api/v1/namespaces/shop', 5_000)).rejects.toThrow();
  expect(asked).toHaveLength(4);
});

test('a call on a connection that was lost without a word is answered on a new one', async () => {
  const kubeConfig = configuration();
  const read = () => readObject(kubeConfig, '/api/v1/namespaces/shop', 2_000);
  await Promise.all(Array.from({ length: 5 }, read));
  path.silence();
  path.restore();
  nowMs = 10_000;
  expect(await read()).toEqual(namespace);
});

test('a server that is slow is asked again on connections that there are, as long as these are new', async () => {
  slow = true;
  const kubeConfig = configuration();
  await Promise.all(Array.from({ length: 4 }, () => readObject(kubeConfig, '/api/v1/namespaces/shop', 5_000)));
  const before = path.connections();
  asked = [];
  await replaceObject(kubeConfig, '/api/v1/namespaces/shop', namespace, 2_000);
  expect(asked).toHaveLength(2);
  expect(path.connections()).toBe(before);
});

test('a write that is slow is made a second time, and done once', async () => {
  slow = true;
  const answer = await replaceObject(configuration(), '/api/v1/namespaces/shop', namespace, 2_000);
  expect(answer).toEqual(namespace);
  expect(asked).toHaveLength(2);
});

test('an answer that is not 200 is an ApiException with the code', async () => {
  await expect(readObject(configuration(), '/api/v1/namespaces/gone', 5_000)).rejects.toMatchObject({
    ...{ name: 'Error', code: 404, body: JSON.stringify(namespace) },
  });
});

test.each([
  ['readObject', (kubeConfig: KubeConfig) => readObject(kubeConfig, '/api/v1/namespaces/shop', 300)],
  [
    'a call of client-node',
    (kubeConfig: KubeConfig) =>
      kubeConfig.makeApiClient(CoreV1Api).readNamespace({ name: 'shop' }, requestOptions(300)),
  ],
])('%s that gets no answer takes all connections along, so that the next one is not lost with it', async (_, call) => {
  const kubeConfig = configuration();
  await Promise.all(Array.from({ length: 5 }, () => call(kubeConfig)));
  path.silence();
  await expect(call(kubeConfig)).rejects.toThrow();
  path.restore();
  expect(await call(kubeConfig)).toMatchObject({ metadata: { name: 'shop' } });
});
