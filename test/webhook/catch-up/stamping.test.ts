import { afterEach, beforeEach, expect, test } from 'vitest';
import { stampByUpdate } from '../../../webhook/catch-up/stamping.ts';
import { type FakeApiServer, startFakeApiServer } from '../../nodeagent/fake-api-server.ts';
import { seenPod } from './seen-pods.ts';

let server: FakeApiServer;
beforeEach(async () => {
  server = await startFakeApiServer();
});
afterEach(() => server.stop());

test('the update is a merge patch that holds nothing but the version that was seen', async () => {
  await stampByUpdate(server.kubeConfig)(seenPod('a', 7));
  expect(server.patches).toEqual([
    {
      path: '/api/v1/namespaces/team/pods/a',
      contentType: 'application/merge-patch+json',
      body: { metadata: { uid: 'a', resourceVersion: '7' } },
    },
  ]);
});

test.each([
  [404, 'gone'],
  [409, 'changed'],
  [400, 'refused'],
  [403, 'refused'],
  [422, 'refused'],
])('an answer of %i means %s', async (status, outcome) => {
  server.answerPatches(status);
  expect(await stampByUpdate(server.kubeConfig)(seenPod('a', 1))).toMatchObject({ outcome });
});

test.each([401, 429, 500, 503])('an answer of %i is not the fault of the pod', async (status) => {
  server.answerPatches(status);
  await expect(stampByUpdate(server.kubeConfig)(seenPod('a', 1))).rejects.toThrow(
    `Could not update pod team/a: HTTP ${status}`,
  );
});
