import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { watchPods } from '../../../nodeagent/api/pods.ts';
import { realClock } from '../../../nodeagent/base/clock.ts';
import { expectToGoOnFromBookmark } from '../../kube/bookmarks.ts';
import { type FakeApiServer, startFakeApiServer } from '../../kube/fake-api-server.ts';

let server: FakeApiServer;
let pods: ReturnType<typeof watchPods> | undefined;
let changes: number;
let errors: string[];
beforeEach(async () => {
  server = await startFakeApiServer();
  changes = 0;
  errors = [];
});
afterEach(async () => {
  pods?.stop();
  await server.stop();
});

const pod = (name: string, rate = '1') => ({
  metadata: { namespace: 'default', name, uid: name, annotations: { rate } },
  status: { phase: 'Running' },
});
const start = () => {
  pods = watchPods({
    kubeConfig: server.kubeConfig,
    nodeName: 'node-1',
    onChange: () => {
      changes += 1;
    },
    onError: (error) => errors.push(error.message),
    clock: realClock,
    backOffMs: { first: 20, longest: 100 },
  });
  return pods;
};
const names = () => (pods?.list() ?? []).map(({ metadata }) => metadata?.name).sort();
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5000, interval: 10 });

describe('the list and the watch', () => {
  test('ask for the marked pods of this node, and of no other', async () => {
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    for (const query of [...server.lists, ...server.watches]) {
      expect(query.get('fieldSelector')).toBe('spec.nodeName=node-1');
      expect(query.get('labelSelector')).toBe('podrate.dev/shaped=true');
    }
    expect(server.lists).toHaveLength(1);
    // Out of the API server's memory.
    expect(server.lists[0]?.get('resourceVersion')).toBe('0');
    expect(server.watches[0]?.get('resourceVersion')).toBe('1');
  });

  test('know nothing before the first list is complete', async () => {
    const release = server.holdLists();
    server.put(pod('a'));
    const watched = start();
    await eventually(() => expect(server.lists).toHaveLength(1));
    expect(watched.synced()).toBe(false);
    expect(changes).toBe(0);
    release();
    await eventually(() => expect(watched.synced()).toBe(true));
    expect(names()).toEqual(['a']);
  });

  test('follow every change', async () => {
    server.put(pod('a'));
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    server.put(pod('b'));
    await eventually(() => expect(names()).toEqual(['a', 'b']));
    server.put(pod('a', '2'));
    await eventually(() => expect(pods?.list()[0]?.metadata?.annotations?.rate).toBe('2'));
    server.delete('a');
    await eventually(() => expect(names()).toEqual(['b']));
    expect(changes).toBeGreaterThanOrEqual(4);
    expect(errors).toEqual([]);
  });
});

test('a watch that ends goes on from the last bookmark, however long nothing happened to these pods', async () => {
  start();
  await expectToGoOnFromBookmark(server);
  expect(errors).toEqual([]);
});

describe('after a fault', () => {
  test('of the first list they try again until it succeeds', async () => {
    server.failLists(500, 3);
    server.put(pod('a'));
    const watched = start();
    await eventually(() => expect(watched.synced()).toBe(true));
    expect(errors).toHaveLength(3);
    expect(names()).toEqual(['a']);
  });

  test('of the connection they go on, and learn of what they missed', async () => {
    server.put(pod('a'));
    server.put(pod('b'));
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    server.delete('a', false);
    server.drop();
    await eventually(() => expect(names()).toEqual(['b']));
    await eventually(() => expect(server.watchers()).toBe(1));
    server.put(pod('c'));
    await eventually(() => expect(names()).toEqual(['b', 'c']));
  });

  test('they keep what they know for as long as the server is away', async () => {
    server.put(pod('a'));
    const watched = start();
    await eventually(() => expect(server.watchers()).toBe(1));
    server.failLists(503, 10);
    server.drop();
    await eventually(() => expect(errors.length).toBeGreaterThan(3));
    expect(names()).toEqual(['a']);
    expect(watched.synced()).toBe(true);
    await eventually(() => expect(server.watchers()).toBe(1));
  });

  test('of the watch alone they try again, without a storm', async () => {
    server.failWatches(500, 4);
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    expect(errors).toHaveLength(4);
    expect(server.watches).toHaveLength(5);
  });

  test('of a version that is too old they list anew, and see what was deleted', async () => {
    server.put(pod('a'));
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    server.delete('a', false);
    server.expire();
    await eventually(() => expect(names()).toEqual([]));
    await eventually(() => expect(server.watchers()).toBe(1));
    expect(server.lists).toHaveLength(2);
  });

  test('many times over there is still one watch, not one for each time', async () => {
    start();
    for (let round = 0; round < 10; round += 1) {
      await eventually(() => expect(server.watchers()).toBe(1));
      server.drop();
      await eventually(() => expect(errors).toHaveLength(round + 1));
    }
    await wait(300);
    expect(server.watchers()).toBe(1);
  });
});

describe('stop', () => {
  test('ends the watch, and nothing revives it', async () => {
    const watched = start();
    await eventually(() => expect(server.watchers()).toBe(1));
    watched.stop();
    await eventually(() => expect(server.watchers()).toBe(0));
    await wait(300);
    expect(server.watchers()).toBe(0);
    expect(errors).toEqual([]);
  });

  test('during the wait after a fault leaves nothing behind', async () => {
    server.failLists(500, 1);
    const watched = start();
    await eventually(() => expect(errors).toHaveLength(1));
    watched.stop();
    await wait(300);
    expect(server.lists).toHaveLength(1);
  });
});
