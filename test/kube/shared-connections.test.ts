import { expect, test } from 'vitest';
import { withSharedConnections } from '../../kube/shared-connections.ts';
import { listPods } from '../../nodeagent/api/pods.ts';
import { startFakeApiServer } from './fake-api-server.ts';

// A call that follows at the heels of another one may find the connection not free yet, and open a second one.
test('calls share connections, and get new ones after five minutes', async () => {
  const server = await startFakeApiServer();
  try {
    let now = 0;
    const sharing = withSharedConnections(server.kubeConfig, () => now);
    for (let call = 0; call < 10; call += 1) await listPods(sharing, 'node');
    const first = server.connections();
    expect(first).toBeLessThanOrEqual(2);
    now = 301_000;
    for (let call = 0; call < 10; call += 1) await listPods(sharing, 'node');
    expect(server.connections()).toBeGreaterThan(first);
    expect(server.connections()).toBeLessThanOrEqual(4);
    expect(server.lists).toHaveLength(20);
  } finally {
    await server.stop();
  }
});
