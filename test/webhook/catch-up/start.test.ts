import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { mostEntries } from '../../../webhook/catch-up/backlog.ts';
import { startCatchUp } from '../../../webhook/catch-up/start.ts';
import { realClock } from '../../../webhook/clock.ts';
import type { PodFollower } from '../../../webhook/follow-pods.ts';
import { type FakeApiServer, startFakeApiServer } from '../../kube/fake-api-server.ts';

let server: FakeApiServer;
let stop: AbortController;
let registry: Registry;
let stamped: PodFollower;

const silent = { info: () => {}, warn: () => {}, error: () => {} };

beforeEach(async () => {
  server = await startFakeApiServer();
  stop = new AbortController();
  registry = new Registry();
  stamped = startCatchUp({
    ...{ kubeConfig: server.kubeConfig, keys: labelKeys('rate'), home: 'podrate-system', log: silent, registry },
    ...{ installation: { default: {}, max: {} }, clock: realClock, random: () => 0.5, signal: stop.signal },
    validate: async () => ({ outcome: 'deny', status: 403, code: 'bounds/max', message: 'too much' }),
  });
});
afterEach(async () => {
  stop.abort();
  await server.stop();
});

const metadata = (name: string, version: number, rate: string | undefined, namespace = 'team') => ({
  ...{ namespace, name, uid: name, resourceVersion: String(version) },
  labels: { 'podrate.dev/shaped': 'true', ...(rate && { rate }) },
  annotations: { 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}' },
});
const withoutStamp = async () => {
  const { values } =
    (await registry.getMetricsAsJSON()).find(({ name }) => name === 'podrate_pods_without_stamp') ?? {};
  return values?.reduce((sum, { value }) => sum + value, 0);
};

test('the pods without a stamp are watched by label, and those with one are told by another watch', async () => {
  await vi.waitFor(() => expect(server.watches).toHaveLength(3), { timeout: 5_000 });
  expect(server.watches.map((query) => query.get('labelSelector')).toSorted()).toEqual([
    'rate,podrate.dev/shaped!=true',
    'rate-egress,podrate.dev/shaped!=true',
    'rate-ingress,podrate.dev/shaped!=true',
  ]);
  stamped.onEvent('put', metadata('right', 10, '1M'));
  expect(await withoutStamp()).toBe(0);
  stamped.onEvent('put', metadata('changed', 11, '2M'));
  expect(await withoutStamp()).toBe(1);
  stamped.onEvent('reach', { resourceVersion: '12' });
  stamped.onEvent('remove', metadata('changed', 13, '2M'));
  expect(await withoutStamp()).toBe(0);
});

test('a stamp that came from a policy, and what is in the namespaces that are left out, are not looked at', async () => {
  stamped.onEvent('put', metadata('given', 10, undefined));
  stamped.onEvent('put', metadata('own', 11, '2M', 'podrate-system'));
  stamped.onEvent('put', metadata('static', 12, '2M', 'kube-system'));
  expect(await withoutStamp()).toBe(0);
  stamped.onEvent('put', metadata('bare', 13, '2M'));
  expect(await withoutStamp()).toBe(1);
  // Its label was taken away while nobody was asked.
  stamped.onEvent('put', metadata('bare', 14, undefined));
  expect(await withoutStamp()).toBe(0);
});

test('another list is wanted only after more pods than there is room for', () => {
  const { onEnd } = stamped.list();
  onEnd('1');
  for (let index = 0; index <= mostEntries; index += 1) {
    expect(stamped.mustList?.()).toBe(false);
    stamped.onEvent('put', metadata(`p-${index}`, 10 + index, '2M'));
  }
  expect(stamped.mustList?.()).toBe(true);
  stamped.list();
  expect(stamped.mustList?.()).toBe(false);
});

test('a complete list of the pods with a stamp ends what it does not have', async () => {
  stamped.onEvent('put', metadata('one', 10, '2M'));
  stamped.onEvent('put', metadata('two', 11, '2M'));
  const { onPod, onEnd } = stamped.list();
  onPod(metadata('two', 11, '2M'));
  onEnd('20');
  expect(await withoutStamp()).toBe(1);
});
