import type { V1ObjectMeta } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createDemand, type ToldDemand } from '../../webhook/demand.ts';
import { followPods } from '../../webhook/follow-pods.ts';
import { type FakeApiServer, startFakeApiServer } from '../kube/fake-api-server.ts';

let server: FakeApiServer;
let demand: ToldDemand;
let told: string[];
let rests: boolean[];
let waits: number[];
let endWait: () => void;
let stop: AbortController;
let ended: Promise<void>;
beforeEach(async () => {
  server = await startFakeApiServer();
  demand = createDemand();
  [told, rests, waits] = [[], [], []];
  stop = new AbortController();
  const name = ({ name = '' }: V1ObjectMeta) => name;
  ended = followPods({
    kubeConfig: server.kubeConfig,
    selection: { labelSelector: 'shaped=true', fieldSelector: 'status.phase!=Failed' },
    what: 'pods',
    follower: {
      list: () => ({ onPod: (pod) => told.push(`list ${name(pod)}`), onEnd: (version) => told.push(`end ${version}`) }),
      onEvent: (type, pod) => told.push(`${type} ${name(pod)}`),
      onRest: (isResting) => rests.push(isResting),
    },
    clock: {
      nowMs: () => 0,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          waits.push(ms);
          endWait = resolve;
          if (signal?.aborted) resolve();
          signal?.addEventListener('abort', () => resolve());
        }),
    },
    ...{ demand, relistMs: 600_000, signal: stop.signal },
    onError: () => 20,
  });
});
afterEach(async () => {
  stop.abort();
  await ended;
  await server.stop();
});

const pod = (name: string) => ({ metadata: { namespace: 'team', name, uid: name } });
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 10 });

test('while nothing is urgent, a short watch tells what happened, ends with its bookmark, and the next one goes on from there', async () => {
  await eventually(() => expect(server.watchers()).toBe(1));
  server.put(pod('a'));
  server.bookmark();
  await eventually(() => expect(waits).toEqual([10_000]));
  await eventually(() => expect(server.watchers()).toBe(0));
  expect(told).toEqual(['end 1', 'put a', 'reach ']);
  endWait();
  await eventually(() => expect(server.watches).toHaveLength(2));
  expect(server.watches.map((query) => query.get('resourceVersion'))).toEqual(['1', '2']);
  expect(server.watches.map((query) => query.get('timeoutSeconds'))).toEqual(['3', '3']);
  expect(server.lists).toHaveLength(1);
  expect(rests).toEqual([true, true]);
});

test('what becomes urgent in a rest ends it, the watch stays open until it no longer is, and nothing is listed for it', async () => {
  await eventually(() => expect(server.watchers()).toBe(1));
  server.bookmark();
  await eventually(() => expect(waits).toEqual([10_000]));
  demand.tell(true);
  await eventually(() => expect(server.watches).toHaveLength(2));
  await eventually(() => expect(server.watchers()).toBe(1));
  expect(server.watches[1]?.get('timeoutSeconds')).toBe('600');
  server.bookmark();
  server.put(pod('a'));
  await eventually(() => expect(told).toEqual(['end 1', 'reach ', 'reach ', 'put a']));
  demand.tell(false);
  await eventually(() => expect(server.watches).toHaveLength(3));
  expect(server.watches[2]?.get('resourceVersion')).toBe('2');
  expect(server.lists).toHaveLength(1);
  expect(rests).toEqual([true, false, true]);
});

test('what becomes urgent in a short watch makes it a long one', async () => {
  await eventually(() => expect(server.watchers()).toBe(1));
  demand.tell(true);
  await eventually(() => expect(server.watches.map((query) => query.get('timeoutSeconds'))).toEqual(['3', '600']));
});
