import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { realClock } from '../../../webhook/cluster/clock.ts';
import { runInformer } from '../../../webhook/cluster/informer.ts';
import { stampedPods, toTable } from '../../../webhook/quota/pod-source.ts';
import { createPodTable, type PodTable } from '../../../webhook/quota/pod-table.ts';
import { type FakeApiServer, startFakeApiServer } from '../../kube/fake-api-server.ts';

let server: FakeApiServer;
let table: PodTable;
let errors: string[];
let stop: AbortController;
let ended: Promise<void> | undefined;
beforeEach(async () => {
  server = await startFakeApiServer();
  table = createPodTable(1_000, { nowMs: realClock.nowMs, dateMs: Date.now });
  errors = [];
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await ended;
  await server.stop();
});

const pod = (name: string, egress: number) => ({
  metadata: {
    ...{ namespace: 'team', name, uid: `${name}-uid` },
    labels: { 'podrate.dev/shaped': 'true' },
    annotations: { 'podrate.dev/limit': JSON.stringify({ egress }) },
  },
});
const start = () => {
  const { kubeConfig } = server;
  const onError = (error: unknown) => errors.push(String(error));
  const handler = toTable(table);
  ended = runInformer({ ...stampedPods, kubeConfig, handler, clock: realClock, onError, signal: stop.signal });
};
const sum = () => table.count('team').sum.egress;
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 10 });

describe('the list and the watch', () => {
  test('ask for unfinished pods with a limit, and follow every change', async () => {
    server.put(pod('a', 1_000));
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    for (const query of [...server.lists, ...server.watches]) {
      expect(query.get('labelSelector')).toBe('podrate.dev/shaped=true');
      expect(query.get('fieldSelector')).toBe('status.phase!=Succeeded,status.phase!=Failed');
    }
    expect(sum()).toBe(1_000);
    server.put(pod('b', 3_000));
    await eventually(() => expect(sum()).toBe(4_000));
    server.put(pod('a', 2_000));
    await eventually(() => expect(sum()).toBe(5_000));
    server.delete('b');
    await eventually(() => expect(sum()).toBe(2_000));
    expect(table.count('team').hasLeft('b-uid', -1n)).toBe(true);
    expect(table.version()).toBeGreaterThanOrEqual(4n);
    expect(server.lists).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  test('count a stamp that the webhook did not write as nothing', async () => {
    server.put({ metadata: { ...pod('a', 1).metadata, annotations: { 'podrate.dev/limit': '{"egress":1}' } } });
    server.put({ metadata: { ...pod('b', 1).metadata, annotations: {} } });
    start();
    await eventually(() => expect(table.count('team').pods).toBe(2));
    expect(sum()).toBe(0);
  });
});

test('a pod that is being deleted counts for its grace period after its time', async () => {
  const { metadata } = pod('a', 1_000);
  const deletionTimestamp = (agoMs: number) => new Date(Date.now() - agoMs) as Date;
  server.put({
    metadata: { ...metadata, deletionTimestamp: deletionTimestamp(10_000), deletionGracePeriodSeconds: 5 },
  });
  const later = { ...pod('b', 2_000).metadata, deletionGracePeriodSeconds: 60 };
  server.put({ metadata: { ...later, deletionTimestamp: deletionTimestamp(10_000) } });
  start();
  await eventually(() => expect(sum()).toBe(2_000));
});

describe('after a fault', () => {
  test('a failed list is tried again', async () => {
    server.put(pod('a', 1_000));
    server.failLists(500, 2);
    start();
    await eventually(() => expect(sum()).toBe(1_000));
    expect(errors).toHaveLength(2);
  });

  test('a version that the API server has forgotten is no fault, and everything is listed again', async () => {
    server.put(pod('a', 1_000));
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    server.delete('a', false);
    server.expire();
    await eventually(() => expect(sum()).toBe(0));
    await eventually(() => expect(server.watchers()).toBe(1));
    server.failWatches(410, 1);
    server.drop();
    await eventually(() => expect(server.lists.length).toBeGreaterThanOrEqual(3));
    expect(errors.filter((error) => error.includes('410'))).toEqual([]);
  });

  test('a broken connection is opened again', async () => {
    start();
    await eventually(() => expect(server.watchers()).toBe(1));
    server.drop();
    server.put(pod('a', 1_000));
    await eventually(() => expect(sum()).toBe(1_000));
    await eventually(() => expect(server.watchers()).toBe(1));
    server.put(pod('b', 1_000));
    await eventually(() => expect(sum()).toBe(2_000));
  });
});

test('a watch that ends every few minutes is opened again, and nothing is listed for that', async () => {
  server.put(pod('a', 1_000));
  start();
  for (let watches = 1; watches <= 4; watches += 1) {
    await eventually(() => expect(server.watches).toHaveLength(watches));
    await eventually(() => expect(server.watchers()).toBe(1));
    server.end();
  }
  await eventually(() => expect(server.watchers()).toBe(1));
  server.put(pod('b', 2_000));
  await eventually(() => expect(sum()).toBe(3_000));
  expect(server.lists).toHaveLength(1);
});

test('stopping it ends the watch', async () => {
  start();
  await eventually(() => expect(server.watchers()).toBe(1));
  stop.abort();
  await ended;
  await eventually(() => expect(server.watchers()).toBe(0));
  expect(errors).toEqual([]);
});
