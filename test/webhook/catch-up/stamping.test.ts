import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { stampByUpdate } from '../../../webhook/catch-up/stamping.ts';
import { type FakeApiServer, startFakeApiServer } from '../../kube/fake-api-server.ts';
import { seenPod, stamped } from './seen-pods.ts';

const keys = labelKeys('rate');
let server: FakeApiServer;
beforeEach(async () => {
  server = await startFakeApiServer();
});
afterEach(() => server.stop());

test('the update is a merge patch that holds nothing but the version that was seen', async () => {
  await stampByUpdate(server.kubeConfig, keys)(seenPod('a', 7));
  expect(server.patches).toEqual([
    {
      path: '/api/v1/namespaces/team/pods/a',
      contentType: 'application/merge-patch+json',
      body: { metadata: { uid: 'a', resourceVersion: '7' } },
    },
  ]);
});

test('the update of a pod without a rate label asks for a stamp, without which admission would not hear of it', async () => {
  await stampByUpdate(server.kubeConfig, keys)(seenPod('a', 7, { app: 'web' }));
  const labels = { 'podrate.dev/shaped': 'wanted' };
  expect(server.patches).toMatchObject([{ body: { metadata: { uid: 'a', resourceVersion: '7', labels } } }]);
});

test.each([
  [404, 'gone'],
  [409, 'changed'],
  [400, 'refused'],
  [403, 'refused'],
  [422, 'refused'],
])('an answer of %i means %s', async (status, outcome) => {
  server.answerPatches(status);
  expect(await stampByUpdate(server.kubeConfig, keys)(seenPod('a', 1))).toMatchObject({ outcome });
});

test.each([401, 429, 500, 503])('an answer of %i is not the fault of the pod', async (status) => {
  server.answerPatches(status);
  await expect(stampByUpdate(server.kubeConfig, keys)(seenPod('a', 1))).rejects.toThrow(
    `Could not update pod team/a: HTTP ${status}`,
  );
});

test.each([
  ['stamped', stamped('a', 8)],
  ['unanswered', seenPod('a', 7)],
  // Another webhook changed something.
  ['unanswered', seenPod('a', 8)],
])('an update is %s by what the pod is afterwards', async (outcome, after) => {
  const api = createServer((_, response) => {
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(after.pod));
  });
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  const kubeConfig = new KubeConfig();
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: url, skipTLSVerify: true }, { name: 'nobody' });
  expect(await stampByUpdate(kubeConfig, keys)(seenPod('a', 7))).toEqual({ outcome });
  api.closeAllConnections();
  api.close();
});
