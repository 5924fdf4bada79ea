import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { conditionPatch, conditionTime } from '../../kube/pod-condition.ts';
import { type FakeApiServer, startFakeApiServer } from './fake-api-server.ts';

let server: FakeApiServer;
beforeEach(async () => {
  server = await startFakeApiServer();
});
afterEach(() => server.stop());

describe('the patch of a condition', () => {
  const target = { namespace: 'team', name: 'web', uid: 'u-1' };
  const condition = {
    status: 'True',
    reason: 'InForce',
    message: 'm',
    lastTransitionTime: '2030-01-01T00:00:00Z',
  } as const;

  test('merges one condition by its type, for the very pod that was meant', async () => {
    expect(await conditionPatch(server.kubeConfig)(target, condition)).toBe('done');
    expect(server.patches).toEqual([
      {
        path: '/api/v1/namespaces/team/pods/web/status',
        contentType: 'application/strategic-merge-patch+json',
        body: { metadata: { uid: 'u-1' }, status: { conditions: [{ type: 'podrate.dev/Limited', ...condition }] } },
      },
    ]);
  });

  test.each([404, 409])('answered with %d means that the pod is gone', async (status) => {
    server.answerPatches(status);
    expect(await conditionPatch(server.kubeConfig)(target, condition)).toBe('gone');
  });

  test('answered with 500 fails', async () => {
    server.answerPatches(500);
    await expect(conditionPatch(server.kubeConfig)(target, condition)).rejects.toThrow();
  });
});

test('a time is written in whole seconds, as Kubernetes does', () => {
  expect(conditionTime(Date.UTC(2030, 0, 2, 3, 4, 5, 678))).toBe('2030-01-02T03:04:05Z');
});
