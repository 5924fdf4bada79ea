import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withSharedConnections } from '../../../kube/shared-connections.ts';
import { newLedger } from '../../../webhook/quota/ledger.ts';
import { type LedgerStore, ledgerStore } from '../../../webhook/quota/ledger-store.ts';
import { useCertificates } from '../tls.ts';

interface StoredObject {
  readonly metadata: { readonly resourceVersion?: string };
}

const certificates = useCertificates();
let server: Server;
let store: LedgerStore;
/** When connections of writes are closed, one for each write to come. */
let closings: ('before' | 'after')[];
let requests: string[];

/** An API server with one ledger, as far as versions go. */
beforeEach(async () => {
  closings = [];
  requests = [];
  let stored: StoredObject | undefined;
  let version = 0;
  const keep = (sent: StoredObject) => {
    version += 1;
    stored = { ...sent, metadata: { ...sent.metadata, ...{ uid: 'ledger', resourceVersion: String(version) } } };
  };
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    requests.push(request.method ?? '');
    const answer = (code: number, body: object) => {
      response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    };
    const fail = (code: number) => answer(code, { kind: 'Status', code, message: 'no' });
    if (request.url?.includes('/api/v1/namespaces/shop') === true) return answer(200, { metadata: { uid: 'shop' } });
    if (request.method === 'GET') return stored === undefined ? fail(404) : answer(200, stored);
    const sent = (await json(request)) as StoredObject;
    const closing = closings.shift();
    const isCurrent = stored?.metadata.resourceVersion === sent.metadata.resourceVersion;
    if (closing !== 'before' && isCurrent) keep(sent);
    if (closing !== undefined) request.socket.destroy();
    else if (isCurrent) answer(200, stored ?? {});
    else fail(409);
  };
  const { certificate: cert, key } = certificates().first.serving;
  server = createServer({ cert, key }, (request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const caData = Buffer.from(certificates().first.authority.certificate).toString('base64');
  const { port } = server.address() as AddressInfo;
  const kubeConfig = new KubeConfig();
  const cluster = { name: 'test', server: `https://localhost:${port}`, skipTLSVerify: false, caData };
  kubeConfig.loadFromClusterAndUser(cluster, { name: 'user', token: 'secret' });
  const shared = withSharedConnections(kubeConfig, () => performance.now());
  store = ledgerStore(shared, 'podrate-system');
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const ledger = { ...newLedger(7n), serial: 3 };

test('a write whose connection is closed before it is done is done at a second try', async () => {
  closings = ['before'];
  const created = await store.write('shop', ledger, undefined);
  expect(created?.metadata.resourceVersion).toBe('1');
  closings = ['before'];
  expect((await store.write('shop', { ...ledger, serial: 4 }, created))?.metadata.resourceVersion).toBe('2');
  expect(requests).toEqual(['GET', 'POST', 'POST', 'PUT', 'PUT']);
});

test('a write whose answer is lost is not done twice: it looks as if somebody else had been first', async () => {
  closings = ['after'];
  expect(await store.write('shop', ledger, undefined)).toBeUndefined();
  const created = await store.read('shop');
  closings = ['after'];
  expect(await store.write('shop', { ...ledger, serial: 4 }, created)).toBeUndefined();
  expect(await store.read('shop')).toMatchObject({ ledger: { serial: 4 }, metadata: { resourceVersion: '2' } });
});

test('a write whose connections are closed again and again fails with what was tried', async () => {
  closings = ['before', 'before'];
  await expect(store.write('shop', ledger, undefined)).rejects.toMatchObject({
    ...{ name: 'ApiFailure', message: expect.stringMatching(/^Could not write the quota ledger of namespace shop: /) },
  });
});
