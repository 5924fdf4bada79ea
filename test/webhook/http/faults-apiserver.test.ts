import { createServer, type RequestListener, type Server } from 'node:http';
import { PassThrough } from 'node:stream';
import { KubeConfig } from '@kubernetes/client-node';
import { pino } from 'pino';
import request from 'supertest';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { labelKeys } from '../../rate/keys.ts';
import { createAdmission } from '../../webhook/admission.ts';
import { createApp } from '../../webhook/app.ts';
import { createMetrics } from '../../webhook/metrics.ts';
import { readNamespaces } from '../../webhook/namespaces.ts';
import { listen } from '../../webhook/server.ts';
import { podJson } from './pods.ts';

let apiServer: Server;
let port: number;
let answer: RequestListener;
let app: ReturnType<typeof createApp>;
let metrics: ReturnType<typeof createMetrics>;
let log: string;

const labels = { 'podrate.dev/mode': 'enforce', 'podrate.dev/default': '3M' };
const namespace: RequestListener = (_request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } }));
};
const status =
  (code: number, message: string): RequestListener =>
  (_request, response) => {
    response.writeHead(code, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ apiVersion: 'v1', kind: 'Status', status: 'Failure', code, message }));
  };

async function startApiServer(): Promise<void> {
  apiServer = createServer((incoming, response) => answer(incoming, response));
  port = await listen(apiServer, port);
}

async function stopApiServer(): Promise<void> {
  apiServer.closeAllConnections();
  await new Promise((resolve) => apiServer.close(resolve));
}

beforeEach(async () => {
  port = 0;
  answer = namespace;
  await startApiServer();
  const kubeConfig = new KubeConfig();
  const cluster = { name: 'fake', server: `http://localhost:${port}`, skipTLSVerify: true };
  kubeConfig.loadFromClusterAndUser(cluster, { name: 'nobody' });
  log = '';
  const sink = new PassThrough();
  sink.on('data', (text) => {
    log += text;
  });
  metrics = createMetrics();
  const read = readNamespaces(kubeConfig);
  app = createApp({
    ...createAdmission({
      keys: labelKeys('rate'),
      installation: { default: {}, max: {} },
      readNamespace: async (name) => (await read(name))?.labels,
      quota: undefined,
    }),
    ...{ metrics, log: pino({ base: null }, sink), isDraining: () => false, nowMs: () => performance.now() },
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await stopApiServer();
});

/** Asks as an API server that waits for a second. */
const ask = async (path = '/mutate?timeout=1s') => {
  const about = { operation: 'CREATE', namespace: 'shop', resource: { resource: 'pods' }, object: podJson({}) };
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: { uid: 'u-1', ...about } };
  return (await request(app).post(path).send(review)) as {
    status: number;
    body: { kind: string; response?: { patch?: string } };
  };
};
const isDecided = async () => {
  // It may have to wait for the end of a read that gets no answer.
  const { status, body } = await ask('/mutate?timeout=10s');
  expect(status).toBe(200);
  expect(Buffer.from(body.response?.patch ?? '', 'base64').toString()).toContain('3000000');
};
const lastLine = () => JSON.parse(log.trim().split('\n').at(-1) ?? '');

test('an API server that is restarted makes HTTP 500 and a line with the cause, and all is well once it is back', async () => {
  await isDecided();
  await stopApiServer();
  for (const path of ['/mutate', '/validate', '/mutate']) {
    expect(await ask(`${path}?timeout=1s`)).toMatchObject({ status: 500, body: { kind: 'Status' } });
    expect(lastLine()).toMatchObject({ level: 50, outcome: 'fault', uid: 'u-1', namespace: 'shop', path });
    expect(lastLine().err.message).toMatch(/^Could not read namespace shop: .*ECONNREFUSED/);
  }
  await startApiServer();
  await isDecided();
  expect(await metrics.registry.metrics()).toContain('{operation="CREATE",outcome="fault"} 3');
});

test.each([
  ['is not ready yet', status(500, 'etcdserver: leader changed'), 'etcdserver: leader changed'],
  ['is busy', status(429, 'too many requests'), 'too many requests'],
  ['forgot the rights', status(403, 'namespaces "shop" is forbidden'), 'is forbidden'],
  ['does not know the token', status(401, 'Unauthorized'), 'Unauthorized'],
  ['answers no JSON', (_request, response) => response.end('<html>'), 'namespace shop'],
  [
    'answers with half an object',
    (_request, response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"kind":'),
    'JSON',
  ],
  ['hangs up', (incoming) => incoming.socket.destroy(), 'namespace shop: '],
] as [string, RequestListener, string][])(
  'an API server that %s makes HTTP 500, never a decision without the policy',
  async (_, fault, words) => {
    answer = fault;
    expect(await ask()).toMatchObject({ status: 500, body: { kind: 'Status' } });
    expect(lastLine().err.message).toContain(words);
    expect(lastLine().err.message.length).toBeLessThan(1_000);
    answer = namespace;
    await isDecided();
  },
);

test('an API server that never answers, or never to the end, is given up on in time for an answer', async () => {
  const begunMs = performance.now();
  let calls = 0;
  answer = (_request, response) => {
    calls += 1;
    if (calls > 1) response.writeHead(200, { 'Content-Type': 'application/json' }).write('{');
  };
  // The second has to wait for the first one's read; a read takes two seconds and two calls.
  const answers = await Promise.all([ask('/mutate?timeout=5s'), ask('/validate?timeout=5s')]);
  expect(performance.now() - begunMs).toBeLessThan(5_000);
  expect(calls).toBeGreaterThanOrEqual(4);
  for (const { status } of answers) expect(status).toBe(500);
  expect(lastLine().err.message).toMatch(/abort|time|waits/i);
  answer = namespace;
  await isDecided();
});

test('a wall clock that jumps changes no answer and no measured time', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  for (const date of ['2026-01-01', '2038-01-20', '1970-01-01', '2026-01-01']) {
    vi.setSystemTime(new Date(date));
    await isDecided();
    expect(lastLine().milliseconds).toBeGreaterThanOrEqual(0);
    expect(lastLine().milliseconds).toBeLessThan(60_000);
  }
});
