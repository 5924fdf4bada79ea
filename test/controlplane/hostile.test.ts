import process from 'node:process';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import type { CreateAnswer } from './harness/create-pods-program.ts';
import { policyCluster, spec, stamp } from './harness/policy-objects.ts';
import { type HostWebhook, installReplicas } from './harness/webhook.ts';

// What a tenant who may create pods can write, on a real API server: nothing of it may lead to anything but a decision.

let cluster: Cluster;
let webhook: HostWebhook;
const policies = policyCluster(() => cluster);
const { apply, kubectl, get, stampOf, makeNamespace } = policies;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  // Written before there was a maximum of the installation.
  await makeNamespace('larger', { mode: 'enforce', max: '5M' });
  await makeNamespace('audited', { mode: 'audit', max: '5M' });
  webhook = (await installReplicas(cluster, 1, '--max', '3M'))[0] as HostWebhook;
  await makeNamespace('free', {});
  await makeNamespace('given', { mode: 'enforce', default: '1M' });
  await makeNamespace('counted', { mode: 'enforce', quota: '2M' });
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

type Strings = Record<string, string>;
const pod = (place: string, name: string, labels: Strings = {}, annotations: Strings = {}, more: object = {}) => ({
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: place, name, labels, annotations } },
  spec: { ...spec, schedulerName: 'none' },
  ...more,
});
/** Creates pods all at once. */
async function create(...pods: object[]): Promise<CreateAnswer[]> {
  const { stdout } = await cluster.spawn(process.execPath, ['test/controlplane/harness/create-pods-program.ts'], {
    input: JSON.stringify(pods),
    env: { KUBECONFIG: cluster.kubeconfig },
    maxBuffer: 100_000_000,
  });
  return JSON.parse(stdout);
}
/** A pod whose environment has so many characters. */
const padded = (place: string, name: string, padding: string, labels: Strings) => ({
  ...pod(place, name, labels),
  spec: {
    schedulerName: 'none',
    containers: [{ name: 'web', image: 'web', env: [{ name: 'PADDING', value: padding }] }],
  },
});

test('a code point of 250,000 zeros is refused at once, on a pod and on a template, and no other pod waits for it', async () => {
  const annotations = { 'podrate.dev/dscp': `${'0'.repeat(250_000)}x` };
  const begunMs = performance.now();
  const [bad, ...others] = await create(
    pod('free', 'zeros', {}, annotations),
    ...Array.from({ length: 5 }, (_, index) => pod('free', `other-${index}`, { rate: '1M' })),
  );
  expect(performance.now() - begunMs).toBeLessThan(5_000);
  expect([bad?.code, bad?.body]).toEqual([422, expect.stringContaining('is too long: write a number from 0 to 63')]);
  expect(others.map(({ code }) => code)).toEqual(others.map(() => 201));
  for (const index of others.keys()) expect(await stampOf('free', `other-${index}`)).toBe(stamp(1_000_000));
  const selector = { matchLabels: { app: 'x' } };
  const template = { metadata: { labels: { app: 'x' }, annotations }, spec };
  const refused = await apply({
    ...{ apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { namespace: 'free', name: 'zeros' } },
    spec: { replicas: 0, selector, template },
  });
  expect(refused.stderr).toContain('pod template: annotation podrate.dev/dscp');
});

test('the largest pod that is stored is decided about, also when its stamp is forged, and of a larger one nothing is left', async () => {
  const forge = async (place: string) => {
    const forged = `podrate.dev/limit=${stamp(12_500_000_000)}`;
    await kubectl('annotate', 'pod', 'largest', '-n', place, '--overwrite', forged);
  };
  for (const place of ['free', 'given', 'audited']) {
    // Of the 1.5 MiB that etcd takes; `<` has six bytes in a review.
    const [largest] = await create(padded(place, 'largest', '<'.repeat(1_500_000), { rate: '1M' }));
    expect(largest?.code).toBe(201);
    expect(await stampOf(place, 'largest')).toBe(stamp(1_000_000));
    await forge(place);
    expect(await stampOf(place, 'largest')).toBe(stamp(1_000_000));
    const [larger] = await create(padded(place, 'larger', '<'.repeat(2_900_000), { rate: '1M' }));
    expect(larger?.code).toBeGreaterThan(400);
    expect((await kubectl('get', 'pod', 'larger', '-n', place)).stderr).toContain('not found');
  }
  await webhook.stop();
  await forge('free');
  expect(await stampOf('free', 'largest')).toBe(stamp(12_500_000_000));
  await webhook.start();
  const isRight = async () => expect(await stampOf('free', 'largest')).toBe(stamp(1_000_000));
  await vi.waitFor(isRight, { timeout: 60_000, interval: 500 });
});

test('a phase of any length does not keep a default from a new pod', async () => {
  const [answer] = await create(pod('given', 'phase', {}, {}, { status: { phase: 'x'.repeat(70) } }));
  expect(answer?.code).toBe(201);
  expect(await stampOf('given', 'phase')).toBe(stamp(1_000_000));
});

test('creates of a name that exists leave one grant, and the quota holds', async () => {
  expect((await create(pod('counted', 'same', { rate: '1M' })))[0]?.code).toBe(201);
  const again = await create(...Array.from({ length: 300 }, () => pod('counted', 'same', { rate: '1M' })));
  expect(new Set(again.map(({ code }) => code))).toEqual(new Set([409]));
  const { status } = await get('bandwidthledger', 'podrate', '-n', 'counted');
  expect(status.grants ?? []).toHaveLength(1);
  expect(status.used).toEqual({ egress: 1_000_000, ingress: 1_000_000 });
  const [over] = await create(pod('counted', 'over', { rate: '2M' }));
  expect([over?.code, over?.body]).toEqual([403, expect.stringContaining('exceeded quota')]);
});

test('connections that say nothing, and bodies of a million brackets, keep no other client from its answer', async () => {
  const silent = `
    const { connect } = require('node:net');
    const open = Array.from({ length: 300 }, () => connect(8443, '${cluster.hostAddress}').on('error', () => {}));
    setTimeout(() => process.stdout.write('open'), 1000);
    process.stdin.resume().on('end', () => process.exit());`;
  const child = cluster.spawn(process.execPath, ['-e', silent], { reject: false });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const brackets = `
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    const headers = { 'Content-Type': 'application/json' };
    const body = '{"request":{"uid":"u-1","object":[' + '[],'.repeat(2_300_000) + '[]]}}';
    const send = () => fetch('https://${cluster.hostAddress}:8443/mutate', { method: 'POST', headers, body });
    const answers = await Promise.all(Array.from({ length: 6 }, send));
    console.log(JSON.stringify(await Promise.all(answers.map((answer) => answer.json()))));`;
  const flood = cluster.spawn(process.execPath, ['--input-type=module', '-e', brackets], { reject: false });
  const pods = Array.from({ length: 6 }, (_, index) => pod('free', `beside-${index}`, { rate: '1M' }));
  expect((await create(...pods)).map(({ code }) => code)).toEqual(pods.map(() => 201));
  for (const index of pods.keys()) expect(await stampOf('free', `beside-${index}`)).toBe(stamp(1_000_000));
  const answers: { response: { allowed: boolean } }[] = JSON.parse((await flood).stdout);
  expect(answers.map(({ response }) => response.allowed)).toEqual(answers.map(() => false));
  expect(await webhook.page('/readyz')).toContain('ok');
  child.stdin.end();
  await child;
});

test("a maximum of the installation below a namespace's refuses what is above it, and nothing else", async () => {
  const [good, over] = await create(pod('larger', 'good', { rate: '2M' }), pod('larger', 'over', { rate: '4M' }));
  expect([good?.code, over?.code]).toEqual([201, 403]);
  expect(over?.body).toContain('maximum rate per Pod is 3M, but limit is 4M');
  expect((await create(pod('audited', 'over', { rate: '4M' })))[0]?.code).toBe(201);
});

test('a foreign annotation is quoted and cut in the answer', async () => {
  await makeNamespace('warned', { mode: 'warn' });
  const setPath = (value: string) => {
    const patch = JSON.stringify([{ op: 'replace', path: '/webhooks/1/clientConfig/service/path', value }]);
    return kubectl('patch', 'mutatingwebhookconfiguration', 'podrate', '--type=json', '-p', patch);
  };
  const forged = { 'podrate.dev/limit': `\u001b[31m${'x'.repeat(200_000)}` };
  // Mutation is not asked.
  await setPath('/nowhere');
  await vi.waitFor(
    async () => {
      const name = `coloured-${Date.now()}`;
      const [answer] = await create(pod('warned', name, { rate: '1M', 'podrate.dev/shaped': 'true' }, forged));
      const { message } = JSON.parse(answer?.body ?? '{}');
      expect(message).toContain('but is "\\u001b[31mxxx');
      expect(message.length).toBeLessThan(600);
    },
    { timeout: 30_000, interval: 500 },
  );
  await setPath('/mutate/policy');
});

test('a pod that a lost node cannot delete leaves the quota as it leaves a ResourceQuota', async () => {
  await makeNamespace('lost', { mode: 'enforce', quota: '1M' });
  await apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'dead' } });
  const dying = {
    ...pod('lost', 'dying', { rate: '1M' }),
    spec: { ...spec, nodeName: 'dead', terminationGracePeriodSeconds: 3 },
  };
  expect((await create(dying))[0]?.code).toBe(201);
  await kubectl('delete', 'pod', 'dying', '-n', 'lost', '--wait=false');
  const successor = () => create(pod('lost', 'successor', { rate: '1M' }));
  expect((await successor())[0]?.code).toBe(403);
  await vi.waitFor(async () => expect((await successor())[0]?.code).toBe(201), { timeout: 30_000, interval: 1_000 });
  expect((await get('pod', 'dying', '-n', 'lost')).metadata.deletionTimestamp).toBeDefined();
});

test('whatever pods are created, the API server gets a decision about each, soon', async () => {
  const texts = [
    '1M',
    '10',
    'none',
    '',
    '9'.repeat(63),
    'x'.repeat(300),
    '\u202e1M',
    '<'.repeat(1_000),
    '{}',
    'EF',
    '0x2e',
  ];
  const keys = ['rate', 'rate-egress', 'rate-ingress', 'podrate.dev/shaped', 'app'];
  const annotations = [
    'podrate.dev/limit',
    'podrate.dev/dscp',
    'kubernetes.io/config.hash',
    'kubernetes.io/config.mirror',
  ];
  const owner = { apiVersion: 'v1', kind: 'Thing', name: 'x', uid: 'x' };
  const owners = [[], [{ ...owner, controller: true }], Array.from({ length: 5_000 }, () => owner)];
  let seed = 1;
  const pick = <T>(values: readonly T[]): T => {
    seed = (seed * 48_271) % 2_147_483_647;
    return values[seed % values.length] as T;
  };
  const strings = (from: readonly string[]) =>
    Object.fromEntries(from.filter(() => pick([true, false])).map((key) => [key, pick(texts)]));
  /** Repeats a text to a size in JSON. */
  const largest = (text: string, bytes: number) => text.repeat(Math.floor(bytes / (JSON.stringify(text).length - 2)));
  const odd = (index: number) => {
    const place = pick(['free', 'given', 'counted', 'audited']);
    const { metadata, ...rest } = pod(place, `odd-${index}`, strings(keys), strings(annotations));
    const large = pick([
      {},
      {},
      {},
      { 'example.com/large': largest(pick(['<', '[', '\u0001']), pick([250_000, 1_400_000])) },
    ]);
    return {
      ...rest,
      metadata: { ...metadata, annotations: { ...metadata.annotations, ...large }, ownerReferences: pick(owners) },
      status: { phase: pick(['Failed', 'x'.repeat(5_000), '']) },
    };
  };
  webhook.lines.length = 0;
  const answers: CreateAnswer[] = [];
  for (let batch = 0; batch < 8; batch += 1) {
    answers.push(...(await create(...Array.from({ length: 10 }, (_, index) => odd(batch * 10 + index)))));
  }
  expect(answers.filter(({ code, body = '' }) => code === 500 || body.includes('failed calling webhook'))).toEqual([]);
  await vi.waitFor(() => expect(webhook.lines.length).toBeGreaterThan(60), { timeout: 10_000 });
  const reviews = webhook.lines.filter(({ msg }) => msg === 'admission');
  expect(reviews.filter(({ outcome }) => outcome === 'fault' || outcome === 'bad-request')).toEqual([]);
  expect(reviews.filter(({ milliseconds }) => Number(milliseconds) > 200)).toEqual([]);
  expect(new Set(reviews.map(({ outcome }) => outcome))).toEqual(new Set(['leave', 'patch', 'deny']));
}, 300_000);
