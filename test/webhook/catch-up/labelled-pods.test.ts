import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { followLabelledPods } from '../../../webhook/catch-up/labelled-pods.ts';
import type { SeenPod } from '../../../webhook/catch-up/seen-pod.ts';
import { realClock } from '../../../webhook/clock.ts';
import { expectToGoOnFromBookmark } from '../../kube/bookmarks.ts';
import { type FakeApiServer, startFakeApiServer } from '../../kube/fake-api-server.ts';

let server: FakeApiServer;
let pods: Map<string, SeenPod>;
let failures: number[];
let stop: AbortController;
let ended: Promise<void>;
let letGo: boolean;
let begun: number;
beforeEach(async () => {
  server = await startFakeApiServer();
  pods = new Map();
  failures = [];
  stop = new AbortController();
  letGo = false;
  begun = 0;
});
afterEach(async () => {
  stop.abort();
  await ended;
  await server.stop();
});

const pod = (name: string, rate = '1M') => ({ metadata: { namespace: 'team', name, uid: name, labels: { rate } } });
const start = (relistMs = 600_000) => {
  ended = followLabelledPods({
    ...{ kubeConfig: server.kubeConfig, label: 'rate', exceptNamespaces: ['kube-system', 'home'] },
    sink: {
      begin() {
        begun += 1;
      },
      mustList: () => letGo,
      see: (seen) => pods.set(seen.uid, seen),
      remove: ({ uid }) => pods.delete(uid),
      retain(uids) {
        for (const uid of pods.keys()) if (!uids.has(uid)) pods.delete(uid);
      },
    },
    onError(_, inARow) {
      failures.push(inARow);
      return 20;
    },
    ...{ clock: realClock, relistMs, signal: stop.signal },
  });
};
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 10 });
const names = () => [...pods.keys()];

test('the unfinished pods with the label and without a stamp are told, and every change of them', async () => {
  server.put(pod('a'));
  start();
  await eventually(() => expect(server.watchers()).toBe(1));
  for (const query of [...server.lists, ...server.watches]) {
    expect(query.get('labelSelector')).toBe('rate,podrate.dev/shaped!=true');
    expect(query.get('fieldSelector')).toBe(
      'status.phase!=Succeeded,status.phase!=Failed,metadata.namespace!=kube-system,metadata.namespace!=home',
    );
  }
  server.put(pod('b'));
  server.put(pod('a', '2M'));
  await eventually(() => expect(pods.get('a')?.pod.metadata.labels).toEqual({ rate: '2M' }));
  expect(pods.get('a')?.resourceVersion).toBe('4');
  server.delete('b');
  await eventually(() => expect(names()).toEqual(['a']));
  expect(failures).toEqual([]);
});

test('failed lists are tried again with what failed in a row, and a broken connection loses nothing', async () => {
  server.failLists(500, 3);
  server.put(pod('a'));
  start();
  await eventually(() => expect(server.watchers()).toBe(1));
  expect(failures).toEqual([0, 1, 2]);
  server.drop();
  server.put(pod('b'));
  await eventually(() => expect(names()).toEqual(['a', 'b']));
});

test('a version that the API server has forgotten is no fault: everything is listed again', async () => {
  server.put(pod('a'));
  start();
  await eventually(() => expect(server.watchers()).toBe(1));
  server.delete('a', false);
  server.expire();
  await eventually(() => expect(names()).toEqual([]));
  expect(failures).toEqual([]);
});

test('a watch that ends goes on from the last bookmark, however long nothing happened to these pods', async () => {
  start();
  await expectToGoOnFromBookmark(server);
});

test('everything is listed again after a while only if the sink let go of something', async () => {
  start(50);
  for (const [watches, isFull] of [
    [1, false],
    [2, true],
  ] as const) {
    await eventually(() => expect(server.watches).toHaveLength(watches));
    await eventually(() => expect(server.watchers()).toBe(1));
    expect(server.lists).toHaveLength(1);
    letGo = isFull;
    await new Promise((resolve) => setTimeout(resolve, 60));
    server.end();
  }
  await eventually(() => expect(server.lists).toHaveLength(2));
  expect(begun).toBe(2);
});

test('of the annotations only the stamp and those of kubelets are kept', async () => {
  const annotations = { 'podrate.dev/limit': '{}', 'kubernetes.io/config.mirror': 'x', large: 'x'.repeat(10_000) };
  server.put({ metadata: { ...pod('a').metadata, annotations } });
  start();
  await eventually(() => expect(names()).toEqual(['a']));
  const kept = Object.keys(pods.get('a')?.pod.metadata.annotations ?? {});
  expect(kept).toEqual(['podrate.dev/limit', 'kubernetes.io/config.mirror']);
});

test('stopping ends the watch', async () => {
  start();
  await eventually(() => expect(server.watchers()).toBe(1));
  stop.abort();
  await ended;
  await eventually(() => expect(server.watchers()).toBe(0));
});
