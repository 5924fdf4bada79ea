import { appendFile, cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Cluster, startCluster } from '../../cluster/cluster.ts';
import { auditedRequests } from '../../cluster/control-plane/audit.ts';
import { testOtherTools } from '../harness/other-tools.ts';
import { namespace, pod, policyCluster, type Strings, spec, stamp } from '../harness/policy-objects.ts';
import { type HostWebhook, installWebhook } from '../harness/webhook.ts';

let cluster: Cluster;
let webhook: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0, audit: true });
  webhook = await installWebhook(cluster);
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

const policies = policyCluster(() => cluster);
const { apply, kubectl, get, stampOf, makeNamespace } = policies;

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
    const patch = (metadata: object) =>
      kubectl(
        ...['patch', 'pod', 'firm', '-n', 'shop', '--subresource=status', '--type=merge', '-p'],
        JSON.stringify({ metadata }),
      );
    const forged = { annotations: { 'podrate.dev/limit': stamp(9_000_000) } };
    const hash = { annotations: { 'kubernetes.io/config.hash': '9975374b9ed6731017a935ce80483a0d' } };
    expect((await patch(forged)).stderr).toContain("are podrate's: change the pod's rate label instead");
    expect((await patch(hash)).stderr).toContain('names the cgroup of a static pod');
    expect((await patch({ labels: { rate: '9M' } })).stderr).toContain('label rate cannot be set through');
    const before = await webhook.admissions();
    const status = JSON.stringify({ status: { conditions: [{ type: 'example.com/Seen', status: 'True' }] } });
    expect(await kubectl('patch', 'pod', 'firm', '-n', 'shop', '--subresource=status', '-p', status)).toMatchObject({
      exitCode: 0,
    });
    expect(await webhook.admissions()).toBe(before);
    const bind = (metadata: object) => {
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'firm', ...metadata },
        target: { kind: 'Node', name: 'n1' },
      };
      const args = ['create', '--raw', '/api/v1/namespaces/shop/pods/firm/binding', '-f', '-'];
      return cluster.kubectl(args, { input: JSON.stringify(binding), reject: false });
    };
    expect((await bind(forged)).stderr).toContain("are podrate's");
    expect((await bind(hash)).stderr).toContain('names the cgroup of a static pod');
    expect((await bind({ labels: { 'rate-egress': '9M' } })).stderr).toContain(
      'label rate-egress cannot be set through',
    );
    expect(await bind({ annotations: { note: 'x' } })).toMatchObject({ exitCode: 0 });
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

test('a pod keeps the default that it got, and another change of it needs no room in the quota for a new one', async () => {
  await makeNamespace('given', { mode: 'enforce', quota: '3M', default: '2M' });
  await apply(pod('given', 'web'));
  await apply(namespace('given', { mode: 'enforce', quota: '3M', default: '3M' }));
  await apply(pod('given', 'small', { rate: '1M' }));
  for (const change of [
    ['annotate', 'note=x'],
    ['label', 'app=x'],
  ] as const) {
    const [verb, value] = change;
    expect(await kubectl(verb, 'pod', 'web', '-n', 'given', value)).toMatchObject({ exitCode: 0, stderr: '' });
  }
  expect(await stampOf('given', 'web')).toBe(stamp(2_000_000));
  // A change of its rate is what the policy of now is for.
  const raised = await kubectl('label', 'pod', 'web', '-n', 'given', 'rate-egress=2M');
  expect([raised.exitCode, raised.stderr]).toEqual([1, expect.stringContaining('exceeded quota')]);
  await kubectl('label', 'namespace', 'given', 'podrate.dev/mode-', 'podrate.dev/quota-', 'podrate.dev/default-');
  await kubectl('label', 'pod', 'web', '-n', 'given', 'app-');
  expect(await stampOf('given', 'web')).toBe(stamp(2_000_000));
});

test('the hash of a static pod takes no pod past a policy', async () => {
  await makeNamespace('hashed', { mode: 'enforce', max: '1M' });
  const hash = { 'kubernetes.io/config.hash': '9975374b9ed6731017a935ce80483a0d' };
  const onlyKubelets = 'only a kubelet stamps a pod whose annotations say static pod';
  expect((await apply(pod('hashed', 'new', {}, hash))).stderr).toContain(onlyKubelets);
  await apply(pod('hashed', 'live'));
  const [entry] = Object.entries(hash);
  const { stderr } = await kubectl('annotate', 'pod', 'live', '-n', 'hashed', entry?.join('=') ?? '');
  expect(stderr).toContain(onlyKubelets);
  expect(await stampOf('hashed', 'live')).toBe(stamp(1_000_000));
});

test("a kubelet's mirror pod is left as its node has it, whatever the policy of its namespace", async () => {
  await makeNamespace('mirrored', { mode: 'enforce', max: '1M', quota: '1M' });
  await apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'mirrors' } });
  const { uid } = (await get('node', 'mirrors')).metadata;
  const owner = { apiVersion: 'v1', kind: 'Node', name: 'mirrors', uid, controller: true };
  const { metadata, ...rest } = pod('mirrored', 'static', { rate: '9M' }, { 'kubernetes.io/config.mirror': 'hash' });
  const mirror = {
    ...rest,
    metadata: { ...metadata, ownerReferences: [owner] },
    spec: { ...spec, nodeName: 'mirrors', automountServiceAccountToken: false },
  };
  const kubelet = ['--as=system:node:mirrors', '--as-group=system:nodes', '--as-group=system:authenticated'];
  const input = JSON.stringify(mirror);
  const created = await cluster.kubectl(['create', '-f', '-', ...kubelet], { input, reject: false });
  expect(created).toMatchObject({ exitCode: 0, stderr: '' });
  const stored = (await get('pod', 'static', '-n', 'mirrored')).metadata;
  expect(stored.labels).toEqual({ rate: '9M' });
  expect(stored.annotations).toEqual({ 'kubernetes.io/config.mirror': 'hash' });
});

describe('a quota', () => {
  test('is never exceeded by pods of a Deployment, and is said to whoever asks for too much', async () => {
    await makeNamespace('counted', { mode: 'enforce', quota: '5M' });
    expect((await apply(pod('counted', 'plain'))).stderr).toContain(
      'failed quota: podrate.dev/quota: must specify rate',
    );
    const template = { metadata: { labels: { app: 'x', rate: '2M' } }, spec };
    const body = { replicas: 4, selector: { matchLabels: { app: 'x' } }, template };
    await apply({
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { namespace: 'counted', name: 'x' },
      spec: body,
    });
    const words = 'exceeded quota: podrate.dev/quota, requested: egress=2M, used: egress=4M, limited: egress=5M';
    await vi.waitFor(
      async () => expect((await kubectl('describe', 'replicaset', 'x', '-n', 'counted')).stdout).toContain(words),
      { timeout: 60_000, interval: 200 },
    );
    expect((await get('pods', '-n', 'counted')).items).toHaveLength(2);
    expect(await apply(pod('counted', 'small', { rate: '1M' }))).toMatchObject({ exitCode: 0 });
    const raised = await kubectl('label', 'pod', 'small', '-n', 'counted', '--overwrite', 'rate=2M');
    expect([raised.exitCode, raised.stderr]).toEqual([
      1,
      expect.stringContaining('requested: egress=1M, used: egress=5M'),
    ]);
    await kubectl('label', 'pod', 'small', '-n', 'counted', '--overwrite', 'rate=500K');
    await kubectl('delete', 'replicaset', 'x', '-n', 'counted', '--cascade=foreground', '--wait=false');
    expect(await stampOf('counted', 'small')).toBe(stamp(500_000));
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

test('a pod template without a rate is only warned of a quota that demands one', async () => {
  await makeNamespace('demanding', { mode: 'enforce', quota: '5M' });
  const created = await kubectl('create', 'deployment', 'x', '-n', 'demanding', '--image=x', '--replicas=0');
  const words = 'Warning: pod template: failed quota: podrate.dev/quota: must specify rate';
  expect([created.exitCode, created.stderr]).toEqual([0, expect.stringContaining(words)]);
});

describe('a namespace that does not enforce', () => {
  test('in mode warn admits pods and templates with a warning', async () => {
    await makeNamespace('warned', { mode: 'warn', max: '1M' });
    const over = await apply(pod('warned', 'over', { rate: '2M' }), pod('warned', 'bad', { rate: '10' }));
    expect(over).toMatchObject({ exitCode: 0 });
    expect(over.stderr).toContain('Warning: maximum rate per Pod is 1M, but limit is 2M');
    expect(over.stderr).toContain('label rate: "10" has no unit');
    expect(over.stderr.split('this pod has no limit')).toHaveLength(2);
    expect(await stampOf('warned', 'over')).toBe(stamp(2_000_000));
    const created = await kubectl('create', 'deployment', 'x', '-n', 'warned', '--image=x', '--replicas=0');
    expect(created).toMatchObject({ exitCode: 0 });
    const patch = JSON.stringify({ spec: { template: { metadata: { labels: { rate: '9M' } } } } });
    const patched = await kubectl('patch', 'deployment', 'x', '-n', 'warned', '-p', patch);
    expect([patched.exitCode, patched.stderr]).toEqual([0, expect.stringContaining('Warning: pod template: maximum')]);
  });

  test('in mode audit admits them quietly, counts them, and has the audit log say what would be refused', async () => {
    await makeNamespace('audited', { mode: 'audit', max: '1M' });
    expect(await apply(pod('audited', 'over', { rate: '2M' }))).toMatchObject({ exitCode: 0, stderr: '' });
    const line = { path: '/validate/policy', namespace: 'audited', name: 'over', code: 'policy/max', outcome: 'leave' };
    const annotations = { 'policy-pods.podrate.dev/would-refuse': 'maximum rate per Pod is 1M, but limit is 2M' };
    const request = { verb: 'create', namespace: 'audited', name: 'over' };
    await vi.waitFor(
      async () => {
        expect(webhook.lines).toContainEqual(expect.objectContaining(line));
        const found = (await auditedRequests(cluster)).find(({ verb, namespace, name }) =>
          isDeepStrictEqual({ verb, namespace, name }, request),
        );
        expect(found?.annotations).toMatchObject(annotations);
        expect(await webhook.page('/metrics')).toContain(
          'podrate_policy_faults_total{mode="audit",code="policy/max"} 1',
        );
      },
      { timeout: 60_000 },
    );
  });
});

interface Hook {
  readonly name: string;
  readonly failurePolicy: string;
}

test.each([
  ['open', {}],
  [
    'strict',
    { Mutating: ['pods', 'policy-pods', 'enforced-pods'], Validating: ['policy-pods', 'enforced-pods', 'namespaces'] },
  ],
  ['network-policy', { Mutating: ['enforced-pods'], Validating: ['enforced-pods'] }],
])(
  'with the component %s the calls that must be answered are %j, and the API server takes it',
  async (name, closed) => {
    const folder = join(cluster.dir, name);
    await cp('manifests', folder, { recursive: true });
    await appendFile(join(folder, 'kustomization.yaml'), `components: [${name}]\n`);
    await cluster.kubectl(['apply', '-k', folder, '--dry-run=server']);
    const { stdout } = await cluster.kubectl(['kustomize', folder]);
    const objects = parseAllDocuments(stdout).map((document) => document.toJS());
    for (const [kind, names] of Object.entries({ Mutating: [], Validating: [], ...closed })) {
      const { webhooks } = objects.find((object) => object.kind === `${kind}WebhookConfiguration`);
      const failing = webhooks.filter(({ failurePolicy }: Hook) => failurePolicy === 'Fail');
      const found = failing.map((hook: Hook) => hook.name.replace('.podrate.dev', ''));
      expect(new Set(found)).toEqual(new Set(names));
    }
  },
);

test('the label key is said once, and kustomize writes it wherever it is needed', async () => {
  const folder = join(cluster.dir, 'label-key');
  await cp('manifests', folder, { recursive: true });
  const file = join(folder, 'label-key.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace('key: rate', 'key: example.com/speed'));
  const { stdout } = await cluster.kubectl(['kustomize', folder]);
  expect(stdout).not.toContain("'rate'");
  expect(stdout.match(/example\.com\/speed/g)).toHaveLength(9);
  await cluster.kubectl(['apply', '-k', folder, '--dry-run=server']);
});

describe("other people's tools", () =>
  testOtherTools(
    () => cluster,
    policyCluster(() => cluster),
  ));
