import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { installPolicyWebhook } from './policy-installation.ts';
import type { HostWebhook } from './webhook.ts';

let cluster: Cluster;
let webhook: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installPolicyWebhook(cluster);
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

type Strings = Record<string, string>;

const policyLabels = (policy: Strings) =>
  Object.fromEntries(Object.entries(policy).map(([key, value]) => [`podrate.dev/${key}`, value]));
const namespace = (name: string, policy: Strings) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: policyLabels(policy) },
});
const spec = { containers: [{ name: 'web', image: 'web' }] };
const pod = (place: string, name: string, labels: Strings = {}, annotations: Strings = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: place, name, labels, annotations },
  spec,
});

const list = (items: object[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
const apply = (...objects: object[]) => cluster.kubectl(['apply', '-f', '-'], { input: list(objects), reject: false });
const kubectl = (...args: string[]) => cluster.kubectl(args, { reject: false });
const get = async (...args: string[]) => JSON.parse((await cluster.kubectl(['get', ...args, '-o', 'json'])).stdout);
const stampOf = async (place: string, name: string): Promise<string | undefined> =>
  (await get('pod', name, '-n', place)).metadata.annotations?.['podrate.dev/limit'];
const stamp = (egress: number, ingress = egress) => JSON.stringify({ egress, ingress });

/** Makes a namespace with a policy and waits until pods can be created in it. */
async function makeNamespace(name: string, policy: Strings): Promise<void> {
  expect(await apply(namespace(name, policy))).toMatchObject({ exitCode: 0 });
  await serviceAccount(name);
}

async function serviceAccount(place: string): Promise<void> {
  const read = () => cluster.kubectl(['get', 'serviceaccount', 'default', '-n', place]);
  await vi.waitFor(read, { timeout: 10_000, interval: 100 });
}

describe('a namespace', () => {
  test.each([
    [
      'without a mode',
      { max: '1M' },
      'label podrate.dev/max does nothing without a mode: write podrate.dev/mode=enforce',
    ],
    ['with a bad rate', { mode: 'enforce', max: '10' }, 'label podrate.dev/max: "10" has no unit'],
    [
      'that contradicts itself',
      { mode: 'warn', min: '2M', max: '1M' },
      'podrate.dev/min: 2M is above podrate.dev/max, 1M',
    ],
  ])('%s is refused when it is written', async (_, policy, words) => {
    const { exitCode, stderr } = await apply(namespace('refused', policy as Strings));
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(words);
  });

  test('gives each pod that is applied just after it the policy, a hundred times, in one file and when it was there before', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `fresh-${index}`);
    // The namespaces' service accounts must be there for pods, so these come first; the policy comes with the pod.
    await apply(...names.map((name) => ({ ...namespace(name, {}), metadata: { name } })));
    await serviceAccount(names.at(-1) as string);
    const objects = names.flatMap((name) => [
      namespace(name, { mode: 'enforce', default: '1M', max: '2M' }),
      pod(name, 'web'),
    ]);
    expect(await apply(...objects)).toMatchObject({ exitCode: 0, stderr: '' });
    const changed = names.flatMap((name) => [namespace(name, { mode: 'enforce', default: '3M' }), pod(name, 'second')]);
    expect(await apply(...changed)).toMatchObject({ exitCode: 0, stderr: '' });
    const { items } = await get('pods', '-A', '-l', 'podrate.dev/shaped=true');
    const stamps = (name: string) =>
      items
        .filter(
          ({ metadata }: { metadata: { name: string; namespace: string } }) =>
            metadata.name === name && names.includes(metadata.namespace),
        )
        .map(({ metadata }: { metadata: { annotations: Strings } }) => metadata.annotations['podrate.dev/limit']);
    expect(stamps('web')).toEqual(names.map(() => stamp(1_000_000)));
    expect(stamps('second')).toEqual(names.map(() => stamp(3_000_000)));
  });
});

describe('a pod in an enforcing namespace', () => {
  beforeAll(() => makeNamespace('shop', { mode: 'enforce', default: '1M', min: '100K', max: '5M' }));

  test('gets the default, also per direction, and its own rate within the bounds', async () => {
    await apply(pod('shop', 'plain'), pod('shop', 'half', { 'rate-egress': '2M' }), pod('shop', 'own', { rate: '5M' }));
    expect(await stampOf('shop', 'plain')).toBe(stamp(1_000_000));
    expect(await stampOf('shop', 'half')).toBe(stamp(2_000_000, 1_000_000));
    expect(await stampOf('shop', 'own')).toBe(stamp(5_000_000));
  });

  test.each([
    ['10M', 'maximum rate per Pod is 5M, but limit is 10M'],
    ['10K', 'minimum rate per Pod is 100K, but limit is 10K'],
    ['none', 'maximum rate per Pod is 5M, but limit is none'],
  ])('with the rate %s is forbidden in the words of LimitRange', async (rate, words) => {
    const { stderr } = await apply(pod('shop', 'bad', { rate }));
    expect(stderr).toContain('(Forbidden)');
    expect(stderr).toContain(words);
  });

  test('cannot be raised over the bound with kubectl label, and keeps its stamp', async () => {
    await apply(pod('shop', 'live', { rate: '2M' }));
    const { exitCode, stderr } = await kubectl('label', 'pod', 'live', '-n', 'shop', '--overwrite', 'rate=9M');
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('but limit is 9M')]);
    expect(await stampOf('shop', 'live')).toBe(stamp(2_000_000));
  });

  test('keeps its stamp through its status and a binding, which the kubelet and the scheduler use freely', async () => {
    await apply(pod('shop', 'firm', { rate: '1M' }));
    const patch = (annotation: string) =>
      kubectl(
        ...['patch', 'pod', 'firm', '-n', 'shop', '--subresource=status', '--type=merge', '-p'],
        JSON.stringify({ metadata: { annotations: { 'podrate.dev/limit': annotation } } }),
      );
    expect((await patch(stamp(9_000_000))).stderr).toContain("are podrate's: change the pod's rate label instead");
    const before = await webhook.admissions();
    const status = JSON.stringify({ status: { conditions: [{ type: 'example.com/Seen', status: 'True' }] } });
    expect(await kubectl('patch', 'pod', 'firm', '-n', 'shop', '--subresource=status', '-p', status)).toMatchObject({
      exitCode: 0,
    });
    expect(await webhook.admissions()).toBe(before);
    const bind = (annotations: Strings) => {
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'firm', annotations },
        target: { kind: 'Node', name: 'n1' },
      };
      const args = ['create', '--raw', '/api/v1/namespaces/shop/pods/firm/binding', '-f', '-'];
      return cluster.kubectl(args, { input: JSON.stringify(binding), reject: false });
    };
    expect((await bind({ 'podrate.dev/limit': stamp(9_000_000) })).stderr).toContain("are podrate's");
    expect(await bind({ note: 'x' })).toMatchObject({ exitCode: 0 });
    expect(await stampOf('shop', 'firm')).toBe(stamp(1_000_000));
    const debug = { spec: { ephemeralContainers: [{ name: 'debug', image: 'busybox' }] } };
    expect(
      await kubectl(
        'patch',
        'pod',
        'firm',
        '-n',
        'shop',
        '--subresource=ephemeralcontainers',
        '-p',
        JSON.stringify(debug),
      ),
    ).toMatchObject({ exitCode: 0 });
    const resize = { spec: { containers: [{ name: 'web', resources: { requests: { cpu: '10m' } } }] } };
    const resized = await kubectl(
      'patch',
      'pod',
      'firm',
      '-n',
      'shop',
      '--subresource=resize',
      '-p',
      JSON.stringify(resize),
    );
    expect(resized.stderr).not.toContain('podrate');
    expect(await stampOf('shop', 'firm')).toBe(stamp(1_000_000));
  });

  test('is not held by a bound that came later: only a change of its rate is', async () => {
    await makeNamespace('later', { mode: 'enforce' });
    await apply(pod('later', 'old', { rate: '5M' }));
    await apply(namespace('later', { mode: 'enforce', max: '1M' }));
    expect(await kubectl('annotate', 'pod', 'old', '-n', 'later', 'note=x')).toMatchObject({ exitCode: 0 });
    expect((await kubectl('label', 'pod', 'old', '-n', 'later', '--overwrite', 'rate=4M')).exitCode).toBe(1);
    expect(await kubectl('label', 'pod', 'old', '-n', 'later', '--overwrite', 'rate=1M')).toMatchObject({
      exitCode: 0,
    });
    expect(await stampOf('later', 'old')).toBe(stamp(1_000_000));
  });
});

describe('a pod template', () => {
  const template = (rate: string) => ({ metadata: { labels: { app: 'x', rate } }, spec });
  const selector = { matchLabels: { app: 'x' } };
  const job = (rate: string) => ({ template: { ...template(rate), spec: { ...spec, restartPolicy: 'Never' } } });
  const workloads = (rate: string, place = 'shop') =>
    [
      ['apps/v1', 'Deployment', { replicas: 0, selector, template: template(rate) }],
      ['apps/v1', 'StatefulSet', { replicas: 0, serviceName: 'x', selector, template: template(rate) }],
      ['apps/v1', 'DaemonSet', { selector, template: template(rate) }],
      ['apps/v1', 'ReplicaSet', { replicas: 0, selector, template: template(rate) }],
      ['v1', 'ReplicationController', { replicas: 0, selector: { app: 'x' }, template: template(rate) }],
      ['batch/v1', 'Job', { ...job(rate), suspend: true }],
      ['batch/v1', 'CronJob', { schedule: '0 0 1 1 *', jobTemplate: { spec: job(rate) } }],
    ].map(([apiVersion, kind, body]) => ({ apiVersion, kind, metadata: { namespace: place, name: 'x' }, spec: body }));

  test('of each of the seven kinds is refused at apply for its value and for the bounds, and good ones are not', async () => {
    for (const [rate, words] of [
      ['10', 'denied the request: pod template: label rate: "10" has no unit'],
      ['9M', 'denied the request: pod template: maximum rate per Pod is 5M, but limit is 9M'],
    ] as const) {
      const { stderr } = await apply(...workloads(rate));
      expect(stderr.split(words)).toHaveLength(8);
    }
    expect(await apply(...workloads('2M'))).toMatchObject({ exitCode: 0, stderr: '' });
    // Also without a policy, for its value.
    expect((await apply(...workloads('10', 'default'))).stderr.split('has no unit')).toHaveLength(8);
  });
});

describe('a namespace that does not enforce', () => {
  test('in mode warn admits pods and templates with a warning', async () => {
    await makeNamespace('warned', { mode: 'warn', max: '1M' });
    const over = await apply(pod('warned', 'over', { rate: '2M' }), pod('warned', 'bad', { rate: '10' }));
    expect(over).toMatchObject({ exitCode: 0 });
    expect(over.stderr).toContain('Warning: maximum rate per Pod is 1M, but limit is 2M');
    expect(over.stderr).toContain('label rate: "10" has no unit');
    expect(await stampOf('warned', 'over')).toBe(stamp(2_000_000));
    const created = await kubectl('create', 'deployment', 'x', '-n', 'warned', '--image=x', '--replicas=0');
    expect(created).toMatchObject({ exitCode: 0 });
    const patch = JSON.stringify({ spec: { template: { metadata: { labels: { rate: '9M' } } } } });
    const patched = await kubectl('patch', 'deployment', 'x', '-n', 'warned', '-p', patch);
    expect([patched.exitCode, patched.stderr]).toEqual([0, expect.stringContaining('Warning: pod template: maximum')]);
  });

  test('in mode audit admits them quietly and counts', async () => {
    await makeNamespace('audited', { mode: 'audit', max: '1M' });
    expect(await apply(pod('audited', 'over', { rate: '2M' }))).toMatchObject({ exitCode: 0, stderr: '' });
    expect(webhook.lines).toContainEqual(
      expect.objectContaining({
        path: '/validate',
        namespace: 'audited',
        name: 'over',
        code: 'policy/max',
        outcome: 'leave',
      }),
    );
  });
});
