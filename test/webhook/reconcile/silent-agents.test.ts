import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { listen } from '../../../webhook/http/server.ts';
import { reportSilentAgents } from '../../../webhook/reconcile/silent-agents.ts';

let server: Server;
let stop: AbortController;
/** The endpoints of the agents, in slices; undefined fails the request. */
let slices: { nodeName?: string; ready?: boolean }[][] | undefined;
let patched: { path: string | undefined; condition: Record<string, string> }[];
let errors: number;
/** Ends the wait before the next look. */
let next: () => void;

const pods = (node: string) =>
  ['True', 'False', 'Unknown', undefined].map((status) => ({
    metadata: { namespace: 'shop', name: `${node}-${status}`, uid: `uid-${status}` },
    status: status === undefined ? {} : { conditions: [{ type: 'podrate.dev/Limited', status }] },
  }));

beforeEach(async () => {
  patched = [];
  errors = 0;
  server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    const answer = (status: number, body: object) => response.writeHead(status).end(JSON.stringify(body));
    if (request.method === 'PATCH') {
      const [condition] = JSON.parse(await text(request)).status.conditions;
      patched.push({ path: request.url, condition });
      return answer(200, {});
    }
    if (pathname === '/api/v1/pods') {
      const node = searchParams.get('fieldSelector')?.replace('spec.nodeName=', '') ?? '';
      return answer(200, { items: pods(node) });
    }
    expect(pathname).toBe('/apis/discovery.k8s.io/v1/namespaces/podrate-system/endpointslices');
    expect(searchParams.get('labelSelector')).toBe('kubernetes.io/service-name=podrate-agent');
    if (slices === undefined) return answer(500, {});
    const endpoints = (slice: { nodeName?: string; ready?: boolean }[]) =>
      slice.map(({ nodeName, ready }) => ({ nodeName, conditions: { ready } }));
    return answer(200, { items: [...slices.map((slice) => ({ endpoints: endpoints(slice) })), { endpoints: null }] });
  });
  const kubeConfig = new KubeConfig();
  const address = `http://127.0.0.1:${await listen(server, 0)}`;
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: address, skipTLSVerify: true }, { name: 'nobody' });
  stop = new AbortController();
  const looked = vi.fn();
  const clock = {
    nowMs: () => 0,
    sleep: () =>
      new Promise<void>((resolve) => {
        next = resolve;
        looked();
      }),
  };
  const onError = () => {
    errors += 1;
  };
  slices = [[{ nodeName: 'one', ready: true }, { nodeName: 'two' }, {}]];
  const dateMs = () => Date.UTC(2030, 0, 1);
  const options = { kubeConfig, namespace: 'podrate-system', clock, random: () => 0.5, dateMs, onError };
  void reportSilentAgents({ ...options, signal: stop.signal });
  look = async (now) => {
    if (now !== slices) slices = now;
    const before = looked.mock.calls.length;
    next();
    await vi.waitFor(() => expect(looked.mock.calls.length).toBe(before + 1), { timeout: 10_000 });
  };
  await vi.waitFor(() => expect(looked).toHaveBeenCalledOnce(), { timeout: 10_000 });
});
let look: (now: typeof slices) => Promise<void>;

afterEach(async () => {
  stop.abort();
  next();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const paths = () => patched.map(({ path }) => path);

test('pods whose condition is True are told when their agent is not ready at two looks, and no others', async () => {
  const silent = [[{ nodeName: 'one', ready: false }], [{ nodeName: 'two', ready: true }]];
  await look(silent);
  expect(paths()).toEqual([]);
  await look(silent);
  expect(paths()).toEqual(['/api/v1/namespaces/shop/pods/one-True/status']);
  expect(patched[0]?.condition).toEqual({
    ...{ type: 'podrate.dev/Limited', status: 'Unknown', reason: 'AgentGone' },
    message: 'Whether the limit is in force is not known: the agent of node one has not been ready for a minute.',
    lastTransitionTime: '2030-01-01T00:00:00Z',
  });
});

test('an agent that is ready again by the next look is not gone', async () => {
  await look([[{ nodeName: 'one', ready: false }, { nodeName: 'two' }]]);
  await look([[{ nodeName: 'one', ready: true }, { nodeName: 'two' }]]);
  await look([[{ nodeName: 'one', ready: false }, { nodeName: 'two' }]]);
  expect(paths()).toEqual([]);
});

test('an agent whose endpoint is not there any more is gone, and is forgotten then', async () => {
  const left = [[{ nodeName: 'two' }]];
  await look(left);
  await look(left);
  expect(paths()).toEqual(['/api/v1/namespaces/shop/pods/one-True/status']);
  await look(left);
  expect(paths()).toHaveLength(1);
});

test('an agent that is ready in one of two address families is ready', async () => {
  const half = [[{ nodeName: 'one', ready: false }], [{ nodeName: 'one', ready: true }, { nodeName: 'two' }]];
  await look(half);
  await look(half);
  expect(paths()).toEqual([]);
});

test('where the endpoints cannot be read nobody is told anything, and it is tried again', async () => {
  await look(undefined);
  await look(undefined);
  expect(errors).toBe(2);
  await look([[{ nodeName: 'one', ready: false }, { nodeName: 'two' }]]);
  expect(paths()).toEqual([]);
  await look([[{ nodeName: 'one', ready: false }, { nodeName: 'two' }]]);
  expect(paths()).toHaveLength(1);
});
