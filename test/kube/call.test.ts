import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callApi } from '../../kube/call.ts';
import { listMetadata } from '../../kube/list.ts';
import { withSharedConnections } from '../../kube/shared-connections.ts';
import { useCertificates } from '../webhook/tls.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const about = { what: 'try', timeoutMs: 5_000 };
const certificates = useCertificates();
let answers: Answer[];
let requests: { method: string | undefined; url: string; type: string | undefined; body: string }[];
let kubeConfig: KubeConfig;
const server = createServer(async (request, response) => {
  const { method, url = '', headers } = request;
  requests.push({ method, url, type: headers['content-type'], body: await text(request) });
  answers.shift()?.(request, response);
});

beforeEach(async () => {
  answers = [];
  requests = [];
  await new Promise<void>((resolve) => server.listen(0, resolve));
  kubeConfig = new KubeConfig();
  const address = `http://localhost:${(server.address() as AddressInfo).port}/proxy/`;
  kubeConfig.loadFromClusterAndUser(
    { name: 'c', server: address, skipTLSVerify: true },
    { name: 'u', token: 'secret' },
  );
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const json =
  (status: number, body: object): Answer =>
  (_request, response) =>
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));

test('a call has its method, path, query and body, below the path of a proxy, and gives the parsed answer', async () => {
  answers = [json(201, { made: true })];
  const type = 'application/merge-patch+json';
  const query = { limit: '5', continue: undefined };
  const call = { method: 'PATCH', path: '/api/v1/pods', query, body: { a: 1 }, type, ...about } as const;
  expect(await callApi(kubeConfig, call)).toEqual({ made: true });
  const sent = {
    method: 'PATCH',
    url: '/proxy/api/v1/pods?limit=5',
    type,
    body: '{"a":1}',
  };
  expect(requests).toEqual([sent]);
});

test('a status that is not of success is a failure unless it is excepted, as are no JSON and no answer', async () => {
  const get = { method: 'GET', path: '/', ...about } as const;
  const conflict = json(409, { message: 'conflict' });
  answers = [conflict, conflict, (_, response) => response.end('<html>'), () => {}];
  await expect(callApi(kubeConfig, get)).rejects.toMatchObject({ name: 'ApiFailure', status: 409 });
  expect(await callApi(kubeConfig, { ...get, except: [404, 409] })).toBeUndefined();
  await expect(callApi(kubeConfig, get)).rejects.toThrow(/JSON/);
  await expect(callApi(kubeConfig, { ...get, timeoutMs: 50 })).rejects.toThrow(/timeout|aborted/i);
});

test('a list is read page by page, with the version of the last one', async () => {
  const page = (name: string, version: string, more: object) =>
    json(200, { items: [{ metadata: { name } }], metadata: { resourceVersion: version, ...more } });
  answers = [page('a', '7', { continue: 'next' }), page('b', '7', { continue: '' }), json(200, { items: null })];
  const collection = { kubeConfig, path: '/api/v1/pods', selection: { labelSelector: 'rate' }, what: 'pods' };
  expect(await listMetadata(collection, ({ name }) => name)).toEqual({ items: ['a', 'b'], version: '7' });
  expect(new URL(requests[1]?.url ?? '', 'http://x').searchParams.get('continue')).toBe('next');
  expect(await listMetadata(collection, ({ name }) => name)).toEqual({ items: [], version: '' });
  answers = [json(403, { message: 'forbidden' })];
  await expect(listMetadata(collection, () => {})).rejects.toThrow('Could not list pods: HTTP 403: forbidden.');
});

test('a call on a connection that the server closes is made once more, and fails if that one is closed as well', async () => {
  const { authority, serving } = certificates().first;
  let closings = 1;
  const tls = createTlsServer({ cert: serving.certificate, key: serving.key }, (request, response) => {
    closings -= 1;
    if (closings >= 0) request.socket.destroy();
    else json(200, { done: true })(request, response);
  });
  await new Promise<void>((resolve) => tls.listen(0, resolve));
  const config = new KubeConfig();
  const caData = Buffer.from(authority.certificate).toString('base64');
  const address = `https://localhost:${(tls.address() as AddressInfo).port}`;
  config.loadFromClusterAndUser(
    { name: 'c', server: address, skipTLSVerify: false, caData },
    { name: 'u', token: 't' },
  );
  const shared = withSharedConnections(config, () => performance.now());
  const call = { method: 'PUT', path: '/', body: {}, ...about } as const;
  expect(await callApi(shared, call)).toEqual({ done: true });
  closings = 2;
  await expect(callApi(shared, call)).rejects.toThrow();
  tls.closeAllConnections();
  tls.close();
});
