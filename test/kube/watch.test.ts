import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApiException, KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type WatchCall, watchObjects } from '../../kube/watch.ts';

let server: Server;
let kubeConfig: KubeConfig;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let asked: IncomingMessage[];
let events: unknown[];
let stop: AbortController;

beforeEach(async () => {
  asked = [];
  events = [];
  stop = new AbortController();
  server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/proxied/`;
  kubeConfig = new KubeConfig();
  const user = { name: 'somebody', token: 'secret' };
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: address, skipTLSVerify: true }, user);
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const watch = (more: Partial<WatchCall<unknown>> = {}) =>
  watchObjects({
    ...{ kubeConfig, path: '/api/v1/pods', query: { labelSelector: 'a=b', resourceVersion: '7', limit: undefined } },
    ...{ timeoutSeconds: 60, onEvent: (event: unknown) => void events.push(event), signal: stop.signal, ...more },
  });
const line = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`;

test('asks for bookmarks, with the selectors, the version, the time and the credentials', async () => {
  answer = (_request, response) => response.end();
  await watch({ accept: 'application/json;as=Table' });
  const { url, headers } = asked[0] as IncomingMessage;
  const { pathname, searchParams } = new URL(url ?? '', 'http://localhost');
  expect(pathname).toBe('/proxied/api/v1/pods');
  expect(Object.fromEntries(searchParams)).toEqual({
    ...{ labelSelector: 'a=b', resourceVersion: '7' },
    ...{ watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: '60' },
  });
  expect(headers).toMatchObject({ accept: 'application/json;as=Table', authorization: 'Bearer secret' });
});

test('tells each event, also one that comes in pieces, until the API server ends it', async () => {
  answer = (_request, response) => {
    const text = line('ADDED', { name: 'ä' }) + line('BOOKMARK', { metadata: { resourceVersion: '9' } });
    const bytes = Buffer.from(text);
    const middle = bytes.indexOf(Buffer.from('ä')) + 1;
    response.write(bytes.subarray(0, middle));
    setTimeout(() => response.end(bytes.subarray(middle)), 50);
  };
  await watch();
  expect(events).toEqual([
    { type: 'ADDED', object: { name: 'ä' } },
    { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } },
  ]);
});

test('a status that is not 200 is an error with its code', async () => {
  answer = (_request, response) => response.writeHead(410).end('{"message":"too old resource version"}');
  const error = await watch().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ApiException);
  expect(error).toMatchObject({ code: 410, body: '{"message":"too old resource version"}' });
});

test('a connection that is cut, no server, a line that is no JSON, and what the listener throws are errors', async () => {
  answer = (_request, response) => {
    response.write(line('ADDED', {}), () => response.destroy());
  };
  await expect(watch()).rejects.toThrow();
  answer = (_request, response) => response.end('{"type":\n');
  await expect(watch()).rejects.toThrow('JSON');
  answer = (_request, response) => response.write(line('ADDED', {}));
  const onEvent = () => {
    throw new Error('not wanted');
  };
  await expect(watch({ onEvent })).rejects.toThrow('not wanted');
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await expect(watch()).rejects.toThrow('ECONNREFUSED');
  server.listen(0);
});

test('a silence ends it, before the answer or after it; what comes in time starts the time anew', async () => {
  answer = () => {};
  await expect(watch({ silentMs: 100 })).rejects.toMatchObject({ name: 'TimeoutError' });
  answer = (_request, response) => {
    for (const ms of [0, 150, 300]) setTimeout(() => response.write(line('BOOKMARK', {})), ms);
  };
  await expect(watch({ silentMs: 250 })).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(events).toHaveLength(3);
});

test('the signal ends it without an error, and its connection', async () => {
  const closed = Promise.withResolvers<void>();
  answer = (request, response) => {
    response.write(line('ADDED', {}));
    request.once('close', () => closed.resolve());
  };
  const watching = watch({ onEvent: () => stop.abort() });
  await watching;
  await closed.promise;
  await watch({ signal: AbortSignal.abort() });
  expect(asked).toHaveLength(1);
});
