import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readQuantity } from '../../rate/grammar.ts';
import { labelKeys } from '../../rate/keys.ts';
import { podSchema } from '../../webhook/pod.ts';
import { validatePod } from '../../webhook/validate.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { list, pod, policyCluster, type Strings, stamp } from './policy-objects.ts';
import { type HostWebhook, installWebhook } from './webhook.ts';

// Which new pods the API server asks about, and which it finds right by itself (manifests/webhook-configuration.yaml, `is-not-plain`).

let cluster: Cluster;
let webhook: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  await makeNamespace('free', {});
  await makeNamespace('ruled', { mode: 'enforce', max: '5M' });
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

const { apply, kubectl, makeNamespace } = policyCluster(() => cluster);

interface Try {
  readonly allowed: boolean;
  readonly said: string;
  /** How often the webhook was asked. */
  readonly calls: number;
}

let tries = 0;

/** Creates a pod on trial. */
async function tryOut(place: string, labels: Strings, annotations: Strings = {}): Promise<Try> {
  const input = JSON.stringify(pod(place, `try-${tries++}`, labels, annotations));
  const before = await webhook.admissions();
  const { exitCode, stderr } = await cluster.kubectl(['create', '--dry-run=server', '-f', '-'], {
    ...{ input, reject: false },
  });
  return { allowed: exitCode === 0, said: stderr, calls: (await webhook.admissions()) - before };
}

test.each([
  ['1M', {}, {}],
  ['500K', {}, {}],
  ['8Mbit', {}, {}],
  ['512Ki', {}, {}],
  ['2GB', { app: 'web' }, { note: 'x' }],
  ['3M', { 'podrate.dev/shaped': 'no' }, { 'podrate.dev/limit': '{}', 'podrate.dev/policy': 'enforce' }],
] as [string, Strings, Strings][])(
  'a new pod with the rate %s, labels %j and annotations %j is only mutated',
  async (rate, labels, annotations) => {
    expect(await tryOut('free', { ...labels, rate }, annotations)).toEqual({ allowed: true, said: '', calls: 1 });
  },
);

test.each([
  ['a rate in one direction', { rate: '1M', 'rate-egress': '2M' }, {}],
  ['a code point', { rate: '1M' }, { 'podrate.dev/dscp': 'EF' }],
  ['no limit', { rate: 'none' }, {}],
] as [string, Strings, Strings][])('a new pod with %s is mutated and validated', async (_, labels, annotations) => {
  expect(await tryOut('free', labels, annotations)).toEqual({ allowed: true, said: '', calls: 2 });
});

test('a new pod in a namespace with a policy is validated once, and what the policy forbids is refused', async () => {
  // Both registrations for mutation take it.
  expect(await tryOut('ruled', { rate: '5M' })).toEqual({ allowed: true, said: '', calls: 3 });
  const { allowed, said, calls } = await tryOut('ruled', { rate: '6M' });
  expect([allowed, calls]).toEqual([false, 3]);
  expect(said).toContain('"pods.podrate.dev" denied the request: maximum rate per Pod is 5M, but limit is 6M');
});

/** The stamp of a rate, also of one that is out of bounds and cannot be a limit. */
const right = (rate: string) => {
  const { numerator, denominator } = readQuantity(rate) ?? { numerator: 1_000_000n, denominator: 1n };
  return stamp(Number(numerator) / Number(denominator));
};
const rates = [
  ...['1M', '1000K', '1MB', '1Mi', '1MiB', '8Mbit', '8Kbit', '7Kbit', '100Gbit', '12500000K', '9999999K'],
  ...['12G', '13G', '12Gi', '101Gbit', '0M', '01M', '1.5M', '10000000K', '1m', '1k', '1Mb', '8mbit', '1MBIT'],
  ...['none', '1000', 'M', '1MM', '1Mibit', '', '99999999999999999999K'],
];
const maybe = <T>(...values: T[]) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, fc.constantFrom(...values));

/** Metadata of pods whose stamps are right, nearly right and wrong. */
const pods = fc
  .record({
    rate: fc.constantFrom(...rates),
    egress: maybe('1M', '2M', 'x'),
    shaped: fc.constantFrom(...Array(8).fill('true'), 'no', undefined),
    limit: fc.constantFrom(
      ...[...Array(20).fill('right'), undefined, stamp(1_000_000), stamp(12_500_000_000), stamp(875)],
      ...['{"ingress":1000000,"egress":1000000}', '{"egress":1000000}', '{"egress":1000000,"ingress":1000000} '],
    ),
    dscp: maybe('46'),
    policy: maybe('enforce'),
    hash: maybe('9975374b9ed6731017a935ce80483a0d'),
  })
  .map(({ rate, egress, shaped, limit: wanted, dscp, policy, hash }) => ({
    labels: { rate, 'rate-egress': egress, 'podrate.dev/shaped': shaped },
    annotations: {
      'podrate.dev/limit': wanted === 'right' ? right(rate) : wanted,
      'podrate.dev/dscp': dscp,
      'podrate.dev/policy': policy,
      'kubernetes.io/config.hash': hash,
    },
  }))
  // Without what is undefined.
  .map((metadata): { labels: Strings; annotations: Strings } => JSON.parse(JSON.stringify(metadata)));

test('where mutation was skipped, all that validation would refuse is refused, and nothing else', async () => {
  await kubectl('delete', 'mutatingwebhookconfiguration', 'podrate');
  // An expression that fails then refuses the pod, in words of the API server.
  const registration = JSON.parse(
    (await cluster.kubectl(['get', 'validatingwebhookconfiguration', 'podrate', '-o', 'json'])).stdout,
  );
  for (const hook of registration.webhooks) hook.failurePolicy = 'Fail';
  await apply(registration);
  const plain = { rate: '1M', 'podrate.dev/shaped': 'true' };
  const limit = { 'podrate.dev/limit': stamp(1_000_000) };
  // Until the API server heeds both.
  await vi.waitFor(async () => expect(await tryOut('free', plain, limit)).toMatchObject({ calls: 0 }), {
    timeout: 30_000,
    interval: 200,
  });

  const seed = Date.now();
  const all = fc.sample(pods, { numRuns: 600, seed });
  const parts = { keys: labelKeys('rate'), policy: undefined, checkQuota: undefined, mayLackStamp: true };
  const wanted = await Promise.all(
    all.map(async (metadata, index) => {
      const object = podSchema.parse({ ...pod('free', `p-${index}`), metadata });
      const about = { uid: 'u', operation: 'CREATE', namespace: 'free', name: '', dryRun: true } as const;
      return (await validatePod({ ...about, pod: object, oldPod: undefined, byNode: false }, parts)).outcome !== 'deny';
    }),
  );
  const before = await webhook.admissions();
  const input = list(all.map(({ labels, annotations }, index) => pod('free', `p-${index}`, labels, annotations)));
  const { stdout, stderr } = await cluster.kubectl(['create', '--dry-run=server', '-o', 'name', '-f', '-'], {
    ...{ input, reject: false },
  });
  const allowed = new Set(stdout.split('\n'));
  const wrong = all.filter((_, index) => allowed.has(`pod/p-${index}`) !== wanted[index]);
  expect(wrong, `seed ${seed}`).toEqual([]);
  // All refusals are ours.
  expect(stderr.split('denied the request')).toHaveLength(wanted.filter((isWanted) => !isWanted).length + 1);
  const calls = (await webhook.admissions()) - before;
  // There are some of all sorts.
  for (const count of [calls, wanted.filter(Boolean).length]) {
    expect(count).toBeGreaterThan(50);
    expect(count).toBeLessThan(550);
  }

  const forged = await tryOut('ruled', { ...plain, rate: '6M' }, { 'podrate.dev/limit': stamp(6_000_000) });
  expect(forged).toMatchObject({ allowed: false, calls: 1 });
  expect(forged.said).toContain('"unmarked-pods.podrate.dev" denied the request: maximum rate per Pod is 5M');
  expect(await tryOut('ruled', plain, limit)).toEqual({ allowed: true, said: '', calls: 1 });
  const marked = { ...limit, 'podrate.dev/policy': 'unknown' };
  expect(await tryOut('free', plain, marked)).toEqual({ allowed: true, said: '', calls: 1 });
  expect(await tryOut('ruled', plain, marked)).toEqual({ allowed: true, said: '', calls: 1 });
}, 120_000);
