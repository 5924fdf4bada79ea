import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { readPage } from './harness/installation.ts';
import { type HostWebhook, installWebhook } from './harness/webhook.ts';

let cluster: Cluster;
let webhook: HostWebhook;
let second: ReturnType<typeof startSecond> | undefined;

const secondPort = 8081;

/** A second replica, which the API server does not ask: what matters of it is what it does by itself. */
function startSecond() {
  const ports = ['--port', '8444', '--http-port', String(secondPort)];
  const args = ['webhook/main.ts', ...ports, '--drain', '0'];
  const env = { PODRATE_KUBECONFIG: join(cluster.dir, 'accounts', 'podrate-webhook.kubeconfig') };
  return cluster.spawn(process.execPath, args, { env, reject: false });
}

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  await webhook.stop();
});

afterAll(async () => {
  second?.kill('SIGTERM');
  await Promise.all([second, webhook?.stop()]);
  await cluster?.stop();
});

const namespace = (name: string, labels: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});
const pod = (place: string, name: string, labels: Record<string, string>, annotations: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: place, name, labels, annotations },
  // Nothing writes to a pod that no scheduler knows.
  spec: { schedulerName: 'none', containers: [{ name: 'web', image: 'web' }] },
});
const apply = (...items: object[]) =>
  cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
const kubectl = (...args: string[]) => cluster.kubectl(args, { reject: false });
const tryOut = (item: object) =>
  cluster.kubectl(['apply', '--dry-run=server', '-o', 'json', '-f', '-'], {
    input: JSON.stringify(item),
    reject: false,
  });
const metrics = async (port: number) => readPage(cluster, `http://${cluster.hostAddress}:${port}/metrics`);
const read = (text: string, metric: string) =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${metric} `))
      ?.slice(metric.length + 1) ?? 0,
  );
const stamps = async (place: string) => {
  const { stdout } = await cluster.kubectl(['get', 'pods', '-n', place, '-o', 'json']);
  return Object.fromEntries(
    JSON.parse(stdout).items.map(
      ({ metadata }: { metadata: { name: string; annotations: Record<string, string> } }) => [
        metadata.name,
        metadata.annotations?.['podrate.dev/limit'],
      ],
    ),
  );
};
const stamp = (rate: number) => JSON.stringify({ egress: rate, ingress: rate });

test('pods that were created while the webhook was away are stamped once when it is back, and those that may not be say so', async () => {
  await apply(
    ...[namespace('away', {}), namespace('later', {}), namespace('full', {})],
    namespace('given', { 'podrate.dev/mode': 'warn', 'podrate.dev/default': '3M' }),
  );
  for (const name of ['away', 'later', 'given', 'full']) {
    const account = () => cluster.kubectl(['get', 'serviceaccount', 'default', '-n', name]);
    await vi.waitFor(account, { timeout: 60_000, interval: 100 });
  }
  const names = Array.from({ length: 8 }, (_, index) => `pod-${index}`);
  await apply(
    ...names.map((name) => pod('away', name, { rate: '1M' })),
    pod('away', 'half', { 'rate-ingress': '2M' }),
    pod('away', 'malformed', { rate: '10' }),
    pod('away', 'none', { rate: 'none' }),
    pod('away', 'point', {}, { 'podrate.dev/dscp': 'EF' }),
    pod('full', 'one', { rate: '2M' }),
    pod('full', 'two', { rate: '2M' }),
    pod('full', 'large', { rate: '5M' }),
    pod('kube-system', 'own', { rate: '1M' }),
    pod('later', 'older', {}),
  );
  // The API server tells when something was written in whole seconds.
  await delay(1_100);
  await kubectl('label', 'namespace', 'later', 'podrate.dev/mode=warn', 'podrate.dev/default=3M');
  const full = ['podrate.dev/mode=enforce', 'podrate.dev/max=2M', 'podrate.dev/quota=3M'];
  await kubectl('label', 'namespace', 'full', ...full);
  await apply(pod('later', 'younger', {}), pod('given', 'plain', {}));
  const before = await stamps('away');
  expect(Object.values(before)).toEqual(Object.keys(before).map(() => undefined));
  const { stdout: version } = await cluster.kubectl(['get', '--raw', '/api/v1/pods?limit=1']);
  const { resourceVersion } = JSON.parse(version).metadata;

  second = startSecond();
  await webhook.start();
  const reasons = async () => {
    const { stdout } = await cluster.kubectl(['get', 'events', '-A', '-o', 'json']);
    const items: { reason: string; message: string; involvedObject: { name: string } }[] = JSON.parse(stdout).items;
    const found = items.filter(({ reason }) => reason === 'RateMissing');
    return Object.fromEntries(found.map(({ involvedObject, message }) => [involvedObject.name, message]));
  };
  await vi.waitFor(
    async () => {
      const wanted = Object.fromEntries(names.map((name) => [name, stamp(1_000_000)]));
      const others = { half: '{"ingress":2000000}', point: '{"dscp":46}' };
      expect(await stamps('away')).toMatchObject({ ...wanted, ...others });
      expect(await stamps('later')).toEqual({ younger: stamp(3_000_000) });
      expect(await stamps('given')).toEqual({ plain: stamp(3_000_000) });
      expect(Object.keys(await reasons())).toHaveLength(3);
    },
    { timeout: 60_000, interval: 250 },
  );
  const [winner, loser] = (await stamps('full')).one === undefined ? ['two', 'one'] : ['one', 'two'];
  expect(await stamps('full')).toEqual({ [winner as string]: stamp(2_000_000) });
  expect(await reasons()).toEqual({
    malformed: expect.stringContaining('label rate: "10" has no unit'),
    large: expect.stringContaining('maximum rate per Pod is 2M, but limit is 5M'),
    [loser as string]: expect.stringContaining(
      'exceeded quota: podrate.dev/quota, requested: egress=2M, used: egress=2M',
    ),
  });
  expect(read(await metrics(8080), 'podrate_pods_without_stamp{state="refused"}')).toBe(3);
  const since = `/api/v1/pods?watch=1&resourceVersion=${resourceVersion}&timeoutSeconds=3`;
  const events = (await cluster.kubectl(['get', '--raw', since])).stdout.trim().split('\n');
  const changed = events.map((event) => JSON.parse(event)).map(({ type, object }) => `${type} ${object.metadata.name}`);
  expect([...new Set(changed)].toSorted()).toEqual(
    [...names, 'half', 'point', 'younger', 'plain', winner].map((name) => `MODIFIED ${name}`).toSorted(),
  );
  // A replica that begins before the API server can ask the other one updates three pods in vain and waits then.
  expect(changed.length).toBeLessThanOrEqual(13 + 3);
  const late = await Promise.all([8080, secondPort].map(metrics));
  expect(late.reduce((sum, text) => sum + read(text, 'podrate_late_stamps_total{outcome="stamped"}'), 0)).toBe(13);
});

test('a pod whose label was changed while the webhook was away gets the stamp for it', async () => {
  expect((await stamps('away'))['pod-0']).toBe(stamp(1_000_000));
  await webhook.stop();
  await cluster.kubectl(['label', 'pod', 'pod-0', '-n', 'away', '--overwrite', 'rate=7M']);
  expect((await stamps('away'))['pod-0']).toBe(stamp(1_000_000));
  await webhook.start();
  await vi.waitFor(
    async () => {
      expect((await stamps('away'))['pod-0']).toBe(stamp(7_000_000));
      // A pod that this replica has yet to refuse would take the room that the next test makes.
      expect(read(await metrics(8080), 'podrate_pods_without_stamp{state="refused"}')).toBe(3);
    },
    { timeout: 60_000, interval: 250 },
  );
});

test('policies, quotas and late stamps go on after the API server was restarted, without a restart of the webhook', async () => {
  await cluster.controlPlane.restartApiServer();
  const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 250 });
  await eventually(async () => {
    const { stderr } = await tryOut(pod('full', 'larger', { rate: '5M' }));
    expect(stderr).toContain('maximum rate per Pod is 2M, but limit is 5M');
  });
  const used = 'exceeded quota: podrate.dev/quota, requested: egress=2M, used: egress=2M';
  expect((await tryOut(pod('full', 'more', { rate: '2M' }))).stderr).toContain(used);
  const [counted] = Object.entries(await stamps('full')).find(([, value]) => value !== undefined) ?? [''];
  await kubectl('delete', 'pod', counted, '-n', 'full', '--now');
  await apply(pod('full', 'more', { rate: '2M' }));
  expect((await stamps('full')).more).toBe(stamp(2_000_000));
  expect((await tryOut(pod('full', 'again', { rate: '2M' }))).stderr).toContain(used);

  await webhook.stop();
  await apply(pod('away', 'after', { rate: '4M' }));
  await webhook.start();
  await eventually(async () => expect((await stamps('away')).after).toBe(stamp(4_000_000)));
});
