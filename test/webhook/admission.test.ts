import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiFailure } from '../../kube/api-failure.ts';
import { labelKeys } from '../../rate/keys.ts';
import { createAdmission } from '../../webhook/admission.ts';
import { podSchema } from '../../webhook/pod.ts';
import type { QuotaAnswer, QuotaRequest } from '../../webhook/quota/keeper.ts';
import { writeReview } from '../../webhook/review.ts';
import type { ValidationReview } from '../../webhook/validation-review.ts';
import { applied, podJson } from './pods.ts';

const none = { default: {}, max: {} };

/** Admission in a namespace with a policy, with a quota's keeper that records what it is asked. */
function admission(policy: Record<string, string>, answer: QuotaAnswer = { allowed: true }) {
  const labels = Object.fromEntries(Object.entries(policy).map(([key, value]) => [`podrate.dev/${key}`, value]));
  const asked: QuotaRequest[] = [];
  const check = async (request: QuotaRequest) => {
    asked.push(request);
    return answer;
  };
  const parts = { keys: labelKeys('rate'), installation: none, readNamespace: async () => labels, quota: { check } };
  return { ...createAdmission(parts), asked };
}

const about = { uid: 'u-1', namespace: 'shop', name: 'web', dryRun: false };
const review = (json: object, old?: object) => ({
  ...about,
  operation: old === undefined ? ('CREATE' as const) : ('UPDATE' as const),
  byNode: false,
  pod: podSchema.parse(json),
  oldPod: old && podSchema.parse(old),
});
const ofPod = (json: object, old?: object): ValidationReview => {
  const read = review(json, old);
  return { ...about, operation: read.operation, subject: { kind: 'pod', review: read } };
};

/** Mutates a pod and validates what becomes of it. */
async function admit(webhook: ReturnType<typeof admission>, json: object, old?: object) {
  const mutated = await webhook.mutate(review(json, old));
  if (mutated.outcome === 'deny') return { decision: mutated, stored: undefined };
  const stored = applied(json, mutated);
  return { decision: await webhook.validate(ofPod(stored, old)), stored };
}

const over = { allowed: false, direction: 'egress', requested: 2_000_000, used: 4_000_000, hard: 5_000_000 } as const;

describe('validation', () => {
  test('refuses a stamp that another webhook changed, in every mode', async () => {
    for (const mode of ['enforce', 'warn', 'audit']) {
      const webhook = admission({ mode, max: '5M' });
      const { stored } = await admit(webhook, podJson({ labels: { rate: '1M' } }));
      const forged = structuredClone(stored) as ReturnType<typeof podJson> & { metadata: { annotations: object } };
      forged.metadata.annotations = { 'podrate.dev/limit': '{"egress":5000000}' };
      expect(await webhook.validate(ofPod(forged))).toMatchObject({
        outcome: 'deny',
        status: 403,
        code: 'stamp/forged',
      });
    }
  });

  test('takes a new pod whose mutation was skipped, and says that its limit comes later; where it is strict it refuses it', async () => {
    const webhook = admission({ mode: 'enforce', quota: '5M' });
    const bare = podJson({ labels: { rate: '1M' } });
    const decision = await webhook.validate(ofPod(bare));
    expect(decision).toEqual({ outcome: 'leave', warnings: [expect.stringContaining('it starts without a limit')] });
    expect(webhook.asked).toMatchObject([{ wanted: { egress: 1_000_000, ingress: 1_000_000 } }]);
    const forged = { outcome: 'deny', code: 'stamp/forged' };
    expect(await webhook.validate(ofPod(bare), { isStrict: true })).toMatchObject(forged);
    // Half a stamp is not skipped mutation, a change can be tried again, and nobody finds a code point later.
    const half = podJson({ labels: { rate: '1M', 'podrate.dev/shaped': 'true' } });
    expect(await webhook.validate(ofPod(half))).toMatchObject(forged);
    expect(await webhook.validate(ofPod(bare, podJson({})))).toMatchObject(forged);
    const marked = podJson({ annotations: { 'podrate.dev/dscp': 'EF' } });
    expect(await admission({}).validate(ofPod(marked))).toMatchObject(forged);
  });

  test('refuses a label that another webhook raised after the stamp', async () => {
    const webhook = admission({ mode: 'enforce' });
    const { stored } = await admit(webhook, podJson({ labels: { rate: '1M' } }));
    const raised = structuredClone(stored) as { metadata: { labels: Record<string, string> } };
    raised.metadata.labels.rate = '2M';
    const decision = await webhook.validate(ofPod(raised));
    expect(decision).toMatchObject({ outcome: 'deny', message: expect.stringContaining('"egress":2000000') });
  });

  test('never refuses what mutation made of a pod in a namespace without bounds', async () => {
    const rate = fc.constantFrom('1M', '1000K', 'none', '8mbit', undefined);
    const labels = fc.record({ rate, 'rate-egress': rate }).map((all) => JSON.parse(JSON.stringify(all)));
    await fc.assert(
      fc.asyncProperty(labels, fc.constantFrom('1M', '3M'), async (given, value) => {
        const { decision } = await admit(admission({ mode: 'enforce', default: value }), podJson({ labels: given }));
        expect(decision).toEqual({ outcome: 'leave', warnings: [] });
      }),
      { numRuns: 100 },
    );
  });

  test('lets a pod that breaks a new bound change in everything but its rate', async () => {
    const labels = { rate: '5M', 'podrate.dev/shaped': 'true' };
    const old = podJson({ labels, annotations: { 'podrate.dev/limit': '{"egress":5000000,"ingress":5000000}' } });
    const webhook = admission({ mode: 'enforce', max: '1M' });
    const { decision } = await admit(webhook, { ...old, metadata: { ...old.metadata, finalizers: [] } }, old);
    expect(decision).toMatchObject({ outcome: 'leave', warnings: [expect.stringContaining('maximum rate')] });
    const raised = { ...old, metadata: { ...old.metadata, labels: { ...labels, rate: '4M' } } };
    expect((await admit(webhook, raised, old)).decision).toMatchObject({ outcome: 'deny', code: 'policy/max' });
  });

  test('lets a pod keep what it got from a policy that has changed, or is gone, until its rate changes', async () => {
    const { stored: old } = await admit(admission({ mode: 'enforce', default: '1M' }), podJson({}));
    const changed = (labels: object): { metadata: { labels: object; annotations: Record<string, string> } } => {
      const copy = structuredClone(old) as ReturnType<typeof changed>;
      copy.metadata.labels = { ...copy.metadata.labels, ...labels };
      return copy;
    };
    for (const policy of [{ mode: 'enforce', default: '5M', quota: '5M' }, { mode: 'warn', max: '500K' }, {}]) {
      const webhook = admission(policy as Record<string, string>, over);
      const { decision, stored } = await admit(webhook, changed({ app: 'web' }), old);
      expect(decision.outcome).toBe('leave');
      expect(stored).toEqual(changed({ app: 'web' }));
      expect(webhook.asked).toEqual([]);
    }
    const webhook = admission({ mode: 'enforce', default: '5M', quota: '9M' });
    const { stored } = await admit(webhook, changed({ 'rate-egress': '2M' }), old);
    expect(stored).toMatchObject({
      metadata: { annotations: { 'podrate.dev/limit': '{"egress":2000000,"ingress":5000000}' } },
    });
    // Nor does a pod get a default late, for which there may be no room.
    const plain = podJson({});
    const refusing = admission({ mode: 'enforce', default: '5M', quota: '5M' }, over);
    const late = await admit(refusing, podJson({ finalizers: [] }), plain);
    expect(late).toMatchObject({ decision: { outcome: 'leave', warnings: [expect.stringContaining('must specify')] } });
    expect(late.stored).toEqual(podJson({ finalizers: [] }));
  });

  test('gives a labelled pod that got in without a stamp all that the policy gives', async () => {
    const old = podJson({ labels: { 'rate-egress': '2M' } });
    const { stored } = await admit(admission({ mode: 'enforce', default: '1M' }), old, old);
    const annotations = { 'podrate.dev/limit': '{"egress":2000000,"ingress":1000000}' };
    expect(stored).toMatchObject({ metadata: { annotations } });
  });

  test('gives a pod without a stamp what the policy gives a new one when the label of the stamp is put on it', async () => {
    const old = podJson({ uid: 'u', resourceVersion: '7', labels: { app: 'web' } });
    const asking = podJson({ uid: 'u', resourceVersion: '7', labels: { app: 'web', 'podrate.dev/shaped': 'wanted' } });
    const webhook = admission({ mode: 'enforce', default: '1M', quota: '5M' });
    for (const before of [old, asking]) {
      const { decision, stored } = await admit(webhook, asking, before);
      expect(decision).toMatchObject({ outcome: 'leave' });
      expect(stored).toMatchObject({
        metadata: {
          labels: { 'podrate.dev/shaped': 'true' },
          annotations: { 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}' },
        },
      });
    }
    expect(webhook.asked).toMatchObject([{ operation: 'update', before: { resourceVersion: '7' } }, {}]);
    // Nobody else gets anything, and the quota is asked as always.
    expect((await admit(webhook, old, old)).stored).toEqual(old);
    expect((await admit(admission({ mode: 'enforce', quota: '5M' }), asking, old)).stored).toEqual(old);
    const full = admission({ mode: 'enforce', default: '2M', quota: '5M' }, over);
    expect((await admit(full, asking, old)).decision).toMatchObject({ outcome: 'deny', code: 'quota/exceeded' });
  });

  test('takes a label that the webhook only rewrites for no change of the rate', async () => {
    const old = podJson({ labels: { rate: '1000K' }, resourceVersion: '7' });
    const webhook = admission({ mode: 'enforce', max: '500K' });
    const { decision, stored } = await admit(webhook, old, old);
    expect(decision).toMatchObject({ outcome: 'leave', warnings: [expect.stringContaining('maximum rate')] });
    expect(stored).toMatchObject({ metadata: { labels: { rate: '1M', 'podrate.dev/shaped': 'true' } } });
    // What breaks a bound must fit into the quota all the same.
    const full = admission({ mode: 'enforce', max: '500K', quota: '5M' }, over);
    expect((await admit(full, old, old)).decision).toMatchObject({ outcome: 'deny', code: 'quota/exceeded' });
  });

  test('refuses to make a pod one of a static pod, whose limit the policy could not hold', async () => {
    const annotations = { 'kubernetes.io/config.hash': '9975374b9ed6731017a935ce80483a0d' };
    const webhook = admission({ mode: 'enforce', max: '5M' });
    const refused = {
      outcome: 'deny',
      status: 403,
      code: 'policy/max',
      message: expect.stringContaining('but limit is none: this pod has no limit: its annotations say static pod'),
    };
    expect((await admit(webhook, podJson({ annotations }))).decision).toMatchObject(refused);
    const { stored } = await admit(webhook, podJson({ labels: { rate: '1M' } }));
    const { metadata } = stored as { metadata: { annotations: object } };
    const hashed = podJson({ ...metadata, annotations: { ...metadata.annotations, ...annotations } });
    expect((await admit(webhook, hashed, stored)).decision).toMatchObject(refused);
    // What has the hash already may change, a kubelet may create it, and elsewhere it only has no limit.
    const free = { outcome: 'leave', warnings: [] };
    expect((await admit(webhook, podJson({ annotations }), podJson({ annotations }))).decision).toEqual(free);
    const byNode = { ...review(podJson({ annotations })), byNode: true };
    expect(await webhook.mutate(byNode)).toEqual(free);
    const subject = { kind: 'pod', review: byNode } as const;
    expect(await webhook.validate({ ...about, operation: 'CREATE', subject })).toEqual(free);
    expect((await admit(admission({}), hashed, stored)).decision).toEqual(free);
  });

  test('lets a pod that ends keep the stamp that it has, whatever the policy is now', async () => {
    const webhook = admission({ mode: 'enforce', quota: '5M', default: '1M' }, over);
    for (const end of [
      { metadata: { name: 'web', deletionTimestamp: '2026-01-01T00:00:00Z' } },
      { status: { phase: 'Failed' } },
    ]) {
      const old = { ...podJson({}), ...end };
      expect((await admit(webhook, old, old)).decision).toEqual({ outcome: 'leave', warnings: [] });
    }
  });
});

describe('a quota', () => {
  test('is asked about the limit of the stamp, with the pod that an update replaces', async () => {
    const webhook = admission({ mode: 'enforce', quota: '5M' });
    const { stored } = await admit(webhook, podJson({ uid: 'p-1', labels: { rate: '1M' } }));
    const old = {
      ...(stored as object),
      metadata: { ...(stored as { metadata: object }).metadata, resourceVersion: '7' },
    };
    const raised = structuredClone(old) as unknown as { metadata: { labels: Record<string, string> } };
    raised.metadata.labels.rate = '2M';
    await admit(webhook, raised, old);
    const both = (rate: number) => ({ egress: rate, ingress: rate });
    const common = { namespace: 'shop', hard: both(5_000_000), pod: { uid: 'p-1', name: 'web' }, dryRun: false };
    expect(webhook.asked).toEqual([
      { ...common, wanted: both(1_000_000), operation: 'create' },
      { ...common, wanted: both(2_000_000), operation: 'update', before: { ...both(1_000_000), resourceVersion: '7' } },
    ]);
  });

  test('that is exceeded is said as ResourceQuota does, and refuses only where it is enforced', async () => {
    const json = podJson({ labels: { rate: '2M' } });
    const words = 'exceeded quota: podrate.dev/quota, requested: egress=2M, used: egress=4M, limited: egress=5M';
    const { decision } = await admit(admission({ mode: 'enforce', quota: '5M' }, over), json);
    expect(decision).toEqual({ outcome: 'deny', status: 403, code: 'quota/exceeded', message: words });
    const warned = admission({ mode: 'warn', quota: '5M' }, over);
    expect((await admit(warned, json)).decision).toMatchObject({ outcome: 'leave', warnings: [words] });
    expect(warned.asked).toMatchObject([{ dryRun: true }]);
  });

  test('demands a rate, which a default gives', async () => {
    const { decision } = await admit(admission({ mode: 'enforce', quota: '5M' }), podJson({}));
    expect(decision).toMatchObject({
      status: 403,
      code: 'policy/no-rate',
      message: expect.stringContaining('must specify'),
    });
    expect(
      (await admit(admission({ mode: 'enforce', quota: '5M', default: '1M' }), podJson({}))).decision.outcome,
    ).toBe('leave');
  });
});

test('a pod template without a rate is not refused for a quota that demands one, but told', async () => {
  const validate = (policy: Record<string, string>, labels: Record<string, string>, oldLabels?: object) => {
    const before = { oldLabels: oldLabels as Record<string, string> | undefined, isNew: oldLabels === undefined };
    const subject = { kind: 'template', labels, ...before, annotations: {}, oldAnnotations: {} } as const;
    return admission(policy).validate({ ...about, operation: 'CREATE', subject });
  };
  const words = 'pod template: failed quota: podrate.dev/quota: must specify rate, as in rate=1M';
  const quota = { mode: 'enforce', quota: '5M' };
  expect(await validate(quota, { app: 'x' })).toMatchObject({ outcome: 'leave', warnings: [words] });
  expect(await validate(quota, {}, { rate: '1M' })).toMatchObject({ outcome: 'leave', warnings: [words] });
  expect(await validate({ ...quota, mode: 'audit' }, {})).toMatchObject({ warnings: [], fault: { mode: 'audit' } });
  for (const given of [
    validate(quota, {}, { app: 'x' }),
    validate({ ...quota, default: '1M' }, {}),
    validate({}, {}),
  ]) {
    expect(await given).toEqual({ outcome: 'leave', warnings: [] });
  }
  expect(await validate(quota, { rate: 'none' })).toMatchObject({ outcome: 'deny', code: 'policy/no-rate' });
});

test('in mode audit nothing is said but to the audit log, under the key of the webhook', async () => {
  const { decision } = await admit(admission({ mode: 'audit', max: '1M' }), podJson({ labels: { rate: '2M' } }));
  expect(writeReview('u-1', decision).response).toEqual({
    uid: 'u-1',
    allowed: true,
    auditAnnotations: { 'would-refuse': 'maximum rate per Pod is 1M, but limit is 2M' },
  });
});

test('a policy that got in malformed refuses new pods with its sentence, and holds no change of others', async () => {
  const webhook = admission({ max: '5M' });
  const json = podJson({ labels: { rate: '1M' } });
  const { decision } = await admit(webhook, json);
  const message = expect.stringContaining('namespace shop has no usable policy: label podrate.dev/max does nothing');
  expect(decision).toMatchObject({ outcome: 'deny', status: 403, code: 'policy/no-mode', message });
  expect((await admit(webhook, json, json)).decision.outcome).toBe('leave');
});

test('a namespace that cannot be read is a fault of the webhook, not of the pod', async () => {
  const readNamespace = () => Promise.reject(new Error('away'));
  const webhook = createAdmission({ keys: labelKeys('rate'), installation: none, readNamespace, quota: undefined });
  await expect(webhook.mutate(review(podJson({})))).rejects.toThrow('away');
  await expect(webhook.validate(ofPod(podJson({})))).rejects.toThrow('away');
});

test('a namespace that could not be read is read again as long as somebody waits for the decision', async () => {
  let reads = 0;
  const readNamespace = async () => {
    reads += 1;
    if (reads % 3 !== 0) throw new ApiFailure('no answer');
    return { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '5M', 'podrate.dev/default': '2M' };
  };
  const webhook = createAdmission({ keys: labelKeys('rate'), installation: none, readNamespace, quota: undefined });
  const large = podJson({ labels: { rate: '6M' } });
  const caller = new AbortController();
  expect(await webhook.validate(ofPod(large), { caller })).toMatchObject({ outcome: 'deny', status: 403 });
  expect(await webhook.mutate(review(podJson({})), { caller })).toMatchObject({ outcome: 'patch' });
  expect(reads).toBe(6);
  await expect(webhook.validate(ofPod(large))).rejects.toThrow('no answer');
  const late = { caller: { signal: AbortSignal.abort() } };
  await expect(webhook.mutate(review(podJson({})), late)).rejects.toThrow('no answer');
  expect(reads).toBe(8);
});

describe('a change of a policy', () => {
  const policy = { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '5M' };
  const ofNamespace = (labels: object, oldLabels: object, dryRun = false): ValidationReview => ({
    ...{ ...about, name: 'shop', dryRun, operation: 'UPDATE' },
    subject: { kind: 'namespace', labels: { ...labels }, oldLabels: { ...oldLabels }, isNew: false },
  });
  const announcing = (announceChange: (name: string) => Promise<void>) =>
    createAdmission({
      keys: labelKeys('rate'),
      installation: none,
      readNamespace: undefined,
      quota: undefined,
      announceChange,
    });

  test.each([
    ['that adds one is', ofNamespace(policy, {}), ['shop']],
    ['that alters it is', ofNamespace({ ...policy, 'podrate.dev/max': '6M' }, policy), ['shop']],
    ['that takes it away is', ofNamespace({}, policy), ['shop']],
    ['that is only tried is not', ofNamespace(policy, {}, true), []],
    ['that is refused is not', ofNamespace({ 'podrate.dev/max': '5M' }, policy), []],
    ['of other labels is not', ofNamespace({ ...policy, team: 'a' }, policy), []],
  ])('%s announced', async (_, change, wanted) => {
    const announced: string[] = [];
    const webhook = announcing(async (name) => {
      announced.push(name);
    });
    await webhook.validate(change);
    expect(announced).toEqual(wanted);
  });

  test('is not admitted before it is announced, nor where it cannot be', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let isAnswered = false;
    const answer = announcing(() => promise)
      .validate(ofNamespace(policy, {}))
      .finally(() => {
        isAnswered = true;
      });
    await new Promise((later) => setImmediate(later));
    expect(isAnswered).toBe(false);
    resolve();
    expect(await answer).toEqual({ outcome: 'leave', warnings: [] });
    const failing = announcing(() => Promise.reject(new Error('away')));
    await expect(failing.validate(ofNamespace(policy, {}))).rejects.toThrow('away');
  });
});
