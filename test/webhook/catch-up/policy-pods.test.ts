import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { policyNamespace } from '../../../webhook/catch-up/policy-namespaces.ts';
import { followPolicyPods } from '../../../webhook/catch-up/policy-pods.ts';
import { realClock } from '../../../webhook/clock.ts';

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, '0')}Z`;
const labelsOf = (policy: object) =>
  Object.fromEntries(Object.entries(policy).map(([key, value]) => [`podrate.dev/${key}`, value]));

/** A namespace as the API server lists it. @param written when its policy was last written, in seconds */
const namespace = (name: string, policy: Record<string, string>, written: number) => {
  const labels = labelsOf(policy);
  const owned = Object.fromEntries(Object.keys(labels).map((key) => [`f:${key}`, {}]));
  const managedFields = [
    { manager: 'kubectl', time: at(written), fieldsV1: { 'f:metadata': { 'f:labels': owned } } },
    { manager: 'other', time: at(59), fieldsV1: { 'f:metadata': { 'f:annotations': { 'f:podrate.dev/note': {} } } } },
  ];
  return { metadata: { name, labels, managedFields } };
};
const pod = (name: string, created: number) => ({
  metadata: { namespace: 'team', name, uid: name, resourceVersion: '1', creationTimestamp: at(created) },
});

let server: Server;
let kubeConfig: KubeConfig;
let namespaces: object[];
let pods: object[];
let queries: { path: string; query: Record<string, string> }[];
let status: number;
beforeEach(async () => {
  [namespaces, pods, queries, status] = [[], [], [], 200];
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    queries.push({ path: url.pathname, query: Object.fromEntries(url.searchParams) });
    const items = url.pathname.endsWith('/pods') ? pods : namespaces;
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ kind: 'List', metadata: { resourceVersion: '1' }, items }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  kubeConfig = new KubeConfig();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: url, skipTLSVerify: true }, { name: 'nobody' });
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** Looks until a look was complete, and gives what was seen. */
async function look(installation = {}) {
  const seen: string[] = [];
  const failures: string[] = [];
  const stop = new AbortController();
  let kept: ReadonlySet<string> | undefined;
  await followPolicyPods({
    ...{ kubeConfig, keys: labelKeys('rate'), installation: { default: {}, max: {}, ...installation } },
    exceptNamespaces: ['home'],
    sink: {
      see: ({ uid }) => seen.push(uid),
      retain(uids) {
        kept = uids;
        stop.abort();
      },
    },
    onError(error, inARow) {
      failures.push(error instanceof Error ? error.message : '');
      if (inARow === 2) status = 200;
      return 1;
    },
    ...{ clock: realClock, everyMs: 60_000, signal: stop.signal },
  });
  return { seen, failures, kept };
}

test('pods without a rate label are looked for where a policy gives a default, those that are not older than the policy', async () => {
  namespaces = [namespace('team', { mode: 'enforce', default: '1M' }, 10)];
  pods = [pod('older', 9), pod('same-second', 10), pod('younger', 11)];
  const { seen, kept } = await look();
  expect(seen).toEqual(['same-second', 'younger']);
  expect(kept).toEqual(new Set(seen));
  expect(queries).toEqual([
    { path: '/api/v1/namespaces', query: { labelSelector: 'podrate.dev/mode', limit: '500' } },
    {
      path: '/api/v1/namespaces/team/pods',
      query: {
        fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
        labelSelector: 'podrate.dev/shaped!=true,!rate,!rate-egress,!rate-ingress',
        limit: '500',
      },
    },
  ]);
});

test.each([
  ['gives no default', namespace('team', { mode: 'enforce', quota: '5M', min: '1K' }, 0), {}],
  // Nothing tells when it came.
  ['has only the default of the installation', namespace('team', { mode: 'enforce' }, 0), { default: { egress: 1e6 } }],
  ['cannot be used', namespace('team', { mode: 'enforce', default: '1' }, 0), {}],
  ['is of a namespace that is left out', namespace('home', { mode: 'enforce', default: '1M' }, 0), {}],
])('a policy that %s is no reason to look for pods', async (_, item, installation) => {
  namespaces = [item];
  const { kept } = await look(installation);
  expect(kept).toEqual(new Set());
  expect(queries).toHaveLength(1);
});

test('a failure is told with what failed in a row, and another look follows', async () => {
  status = 503;
  namespaces = [namespace('team', { mode: 'enforce', default: '1M' }, 1)];
  pods = [pod('late', 2)];
  const { seen, failures } = await look();
  expect(failures).toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/^Could not list the namespaces/)));
  expect(seen).toEqual(['late']);
});

test('a namespace that does not tell who wrote its labels does not tell how old its policy is', () => {
  const { metadata } = namespace('team', { mode: 'enforce', default: '1M' }, 1);
  expect(policyNamespace({ ...metadata, managedFields: [] })).toMatchObject({ name: 'team', sinceMs: undefined });
});
