import { createServer, type RequestListener, type Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { realClock } from '../../../webhook/cluster/clock.ts';
import { type Policies, policyNamespace, watchPolicies } from '../../../webhook/cluster/policies.ts';
import { listen } from '../../../webhook/http/server.ts';

let apiServer: Server;
let stop: AbortController;
let policies: Policies;
/** Answers reads of a namespace. */
let answer: RequestListener;
let send: ((event: object) => void) | undefined;
let errors: number;

const labels = { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '3M' };
const named = (name: string, more: object = {}) => ({
  metadata: { name, labels: { ...labels, ...more }, resourceVersion: '2' },
});
const json: (body: object) => RequestListener = (body) => (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
};
const status =
  (code: number, message: string): RequestListener =>
  (_request, response) => {
    response.writeHead(code, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ kind: 'Status', code, message }));
  };

beforeEach(async () => {
  send = undefined;
  errors = 0;
  answer = json(named('shop'));
  apiServer = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname !== '/api/v1/namespaces') return answer(request, response);
    if (!url.searchParams.has('watch')) {
      return json({ metadata: { resourceVersion: '1' }, items: [named('known')] })(request, response);
    }
    response.writeHead(200);
    send = (event) => response.write(`${JSON.stringify(event)}\n`);
    response.flushHeaders();
  });
  const port = await listen(apiServer, 0);
  const kubeConfig = new KubeConfig();
  const cluster = { name: 'fake', server: `http://localhost:${port}`, skipTLSVerify: true };
  kubeConfig.loadFromClusterAndUser(cluster, { name: 'nobody' });
  stop = new AbortController();
  const onError = () => {
    errors += 1;
    return 10;
  };
  policies = watchPolicies({ kubeConfig, registry: new Registry(), clock: realClock, onError, signal: stop.signal });
  await vi.waitFor(() => expect(send).toBeDefined(), { timeout: 5_000 });
});

afterEach(async () => {
  stop.abort();
  apiServer.closeAllConnections();
  await new Promise((resolve) => apiServer.close(resolve));
});

test('namespaces with a policy are known by a watch, others are read only if the API server takes them for one', async () => {
  let reads = 0;
  answer = (request, response) => {
    reads += 1;
    json(named('new'))(request, response);
  };
  expect(await policies.labelsOf('known', true)).toEqual(labels);
  expect(await policies.labelsOf('new', false)).toBeUndefined();
  expect(reads).toBe(0);
  expect(await policies.labelsOf('new', true)).toEqual(labels);
  expect(reads).toBe(1);
  answer = status(404, 'not found');
  expect(await policies.labelsOf('gone', true)).toBeUndefined();
});

test('a policy that is written, changed or removed counts with the event', async () => {
  const late = Symbol('late');
  expect(await Promise.race([policies.firstQuota, delay(100, late)])).toBe(late);
  send?.({ type: 'ADDED', object: named('shop', { 'podrate.dev/quota-egress': '5M' }) });
  await policies.firstQuota;
  send?.({ type: 'MODIFIED', object: named('shop', { 'podrate.dev/max': '9M' }) });
  await vi.waitFor(async () =>
    expect(await policies.labelsOf('shop', false)).toMatchObject({ 'podrate.dev/max': '9M' }),
  );
  send?.({ type: 'DELETED', object: named('shop') });
  await vi.waitFor(() => expect([...policies.all().keys()]).toEqual(['known']));
  expect(errors).toBe(0);
});

test.each([
  ['is not ready yet', status(500, 'etcdserver: leader changed'), 'etcdserver: leader changed'],
  ['is busy', status(429, 'too many requests'), 'too many requests'],
  ['refuses', status(403, 'namespaces "shop" is forbidden'), 'is forbidden'],
  ['answers no JSON', (_request, response) => response.end('<html>'), 'namespace shop'],
  ['hangs up', (incoming) => incoming.socket.destroy(), 'namespace shop: '],
] as [string, RequestListener, string][])(
  'a read that an API server %s is a failure with its cause, and the next one may succeed',
  async (_, fault, words) => {
    answer = fault;
    await expect(policies.labelsOf('shop', true)).rejects.toThrow(words);
    answer = json(named('shop'));
    expect(await policies.labelsOf('shop', true)).toEqual(labels);
  },
);

test('a read that is never answered is given up in time for an answer', async () => {
  answer = () => {};
  const begunMs = performance.now();
  await expect(policies.labelsOf('shop', true)).rejects.toThrow(/namespace shop: .*(abort|timeout)/i);
  expect(performance.now() - begunMs).toBeLessThan(3_500);
  await delay(0);
});

test('a policy is as old as the last change by whoever wrote one of its labels', () => {
  const managed = (time: string, ...keys: string[]) => ({
    time,
    fieldsV1: { 'f:metadata': { 'f:labels': Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) } },
  });
  const managedFields = [
    managed('2026-01-01T00:00:01Z', 'podrate.dev/max'),
    managed('2026-01-01T00:00:02Z', 'podrate.dev/mode', 'team'),
    managed('2026-01-01T00:00:03Z', 'team'),
  ];
  expect(policyNamespace({ managedFields }).sinceMs).toBe(Date.parse('2026-01-01T00:00:02Z'));
  expect(policyNamespace({}).sinceMs).toBeUndefined();
});
