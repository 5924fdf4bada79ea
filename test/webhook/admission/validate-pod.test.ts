import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiFailure } from '../../../kube/api-failure.ts';
import { writeReview } from '../../../webhook/admission/review.ts';
import { QuotaError } from '../../../webhook/quota/ledger.ts';
import type { QuotaAnswer } from '../../../webhook/quota/reserve.ts';
import { admissionIn, admit, asked, podJson, review } from './pods.ts';

const over = { allowed: false, direction: 'egress', requested: 2_000_000, used: 4_000_000, hard: 5_000_000 } as const;
const admission = (policy: Record<string, string>, answer: QuotaAnswer = { allowed: true }) =>
  admissionIn(policy, async () => answer);

describe('validation', () => {
  test('refuses a stamp that another webhook changed, in every mode', async () => {
    for (const mode of ['enforce', 'warn', 'audit']) {
      const webhook = admission({ mode, max: '5M' });
      const { stored } = await admit(webhook, podJson({ labels: { rate: '1M' } }));
      const forged = structuredClone(stored) as ReturnType<typeof podJson> & { metadata: { annotations: object } };
      forged.metadata.annotations = { 'podrate.dev/limit': '{"egress":5000000,"ingress":5000000}' };
      expect(await webhook.validate(review(forged), asked)).toMatchObject({
        outcome: 'deny',
        status: 403,
        code: 'stamp/forged',
      });
    }
  });

  test('of a new pod without its stamp refuses it where the mode is enforce, and elsewhere says that the limit comes later', async () => {
    const bare = podJson({ labels: { rate: '1M' } });
    const enforced = admission({ mode: 'enforce', quota: '5M' });
    expect(await enforced.validate(review(bare), asked)).toMatchObject({ outcome: 'deny', code: 'stamp/missing' });
    const warned = admission({ mode: 'warn', quota: '5M' });
    const late = { outcome: 'leave', warnings: [expect.stringContaining('it starts without a limit')] };
    expect(await warned.validate(review(bare), asked)).toEqual(late);
    // Half a stamp is not skipped mutation, and a change can be tried again.
    const half = podJson({ labels: { rate: '1M', 'podrate.dev/shaped': 'true' } });
    expect(await warned.validate(review(half), asked)).toMatchObject({ outcome: 'deny', code: 'stamp/missing' });
    expect(await warned.validate(review(bare, podJson({})), asked)).toMatchObject({ outcome: 'deny' });
    const wanted = podJson({ labels: { rate: '1M', 'podrate.dev/shaped': 'wanted' } });
    expect(await warned.validate(review(wanted, bare), asked)).toEqual(late);
  });

  test('of a stamp by a replica that knows another default takes any rate within the bounds', async () => {
    const webhook = admission({ mode: 'enforce', default: '1M', max: '5M' });
    const stamped = (stamp: object, labels = {}) =>
      podJson({
        labels: { 'podrate.dev/shaped': 'true', ...labels },
        annotations: { 'podrate.dev/limit': JSON.stringify(stamp) },
      });
    const outcomeOf = async (json: object) => (await webhook.validate(review(json), asked)).outcome;
    expect(await outcomeOf(stamped({ egress: 2_000_000, ingress: 2_000_000 }))).toBe('leave');
    expect(await outcomeOf(stamped({ egress: 6_000_000, ingress: 2_000_000 }))).toBe('deny');
    expect(await outcomeOf(stamped({ egress: 2_000_000 }))).toBe('deny');
    expect(await outcomeOf(stamped({ egress: 2_000_000, ingress: 2_000_000 }, { rate: '1M' }))).toBe('deny');
    expect(await outcomeOf(stamped({ egress: 2_000_000, ingress: 2_000_000, dscp: 46 }))).toBe('deny');
  });

  test('refuses a label that another webhook raised after the stamp', async () => {
    const webhook = admission({ mode: 'enforce' });
    const { stored } = await admit(webhook, podJson({ labels: { rate: '1M' } }));
    const raised = structuredClone(stored) as { metadata: { labels: Record<string, string> } };
    raised.metadata.labels.rate = '2M';
    const decision = await webhook.validate(review(raised), asked);
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
    expect(decision).toEqual({ outcome: 'leave', warnings: [] });
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
    for (const policy of [
      { mode: 'enforce', default: '5M', quota: '5M' },
      { mode: 'warn', max: '500K' },
    ]) {
      const webhook = admission(policy as Record<string, string>, over);
      const { decision, stored } = await admit(webhook, changed({ app: 'web' }), old);
      expect(decision.outcome).toBe('leave');
      expect(stored).toEqual(changed({ app: 'web' }));
      expect(webhook.claims).toEqual([]);
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
    expect(late).toMatchObject({ decision: { outcome: 'leave', warnings: [] } });
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
    expect(webhook.claims).toMatchObject([{ before: { version: 7n } }, {}]);
    // Nobody else gets anything, and the quota is asked as always.
    expect((await admit(webhook, old, old)).stored).toEqual(old);
    expect((await admit(admission({ mode: 'enforce', quota: '5M' }), asking, old)).stored).toEqual(old);
    const full = admission({ mode: 'enforce', default: '2M', quota: '5M' }, over);
    expect((await admit(full, asking, old)).decision).toMatchObject({ outcome: 'deny', code: 'quota/exceeded' });
  });

  test('holds a pod to its policy whatever its annotations say of static pods', async () => {
    const annotations = { 'kubernetes.io/config.hash': '9975374b9ed6731017a935ce80483a0d' };
    const webhook = admission({ mode: 'enforce', max: '5M' });
    const refused = { outcome: 'deny', status: 403, code: 'policy/max' };
    expect((await admit(webhook, podJson({ labels: { rate: '9M' }, annotations }))).decision).toMatchObject(refused);
    const { stored } = await admit(webhook, podJson({ annotations }));
    expect(stored).toMatchObject({ metadata: { labels: { 'podrate.dev/shaped': 'true' } } });
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
    const common = { namespace: 'shop', hard: both(5_000_000), uid: 'p-1', name: 'web', dryRun: false };
    expect(webhook.claims).toEqual([
      { ...common, wanted: both(1_000_000), before: undefined },
      { ...common, wanted: both(2_000_000), before: { ...both(1_000_000), version: 7n } },
    ]);
  });

  test('that is exceeded is said as ResourceQuota does, and refuses only where it is enforced', async () => {
    const json = podJson({ labels: { rate: '2M' } });
    const words = 'exceeded quota: podrate.dev/quota, requested: egress=2M, used: egress=4M, limited: egress=5M';
    const { decision } = await admit(admission({ mode: 'enforce', quota: '5M' }, over), json);
    expect(decision).toEqual({ outcome: 'deny', status: 403, code: 'quota/exceeded', message: words });
    const warned = admission({ mode: 'warn', quota: '5M' }, over);
    expect((await admit(warned, json)).decision).toMatchObject({ outcome: 'leave', warnings: [words] });
    expect(warned.claims).toMatchObject([{ dryRun: true }]);
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

test('in mode audit nothing is said but to the audit log, under the key of the webhook', async () => {
  const { decision } = await admit(admission({ mode: 'audit', max: '1M' }), podJson({ labels: { rate: '2M' } }));
  expect(writeReview('u-1', decision).response).toEqual({
    uid: 'u-1',
    allowed: true,
    auditAnnotations: { 'would-refuse': 'maximum rate per Pod is 1M, but limit is 2M' },
  });
});

test('a quota that is full or contended refuses with what to do, and a ledger that cannot be read is a failure', async () => {
  const json = podJson({ labels: { rate: '2M' } });
  const failing = (error: Error) =>
    admissionIn({ mode: 'enforce', quota: '5M' }, async () => {
      throw error;
    });
  for (const code of ['quota/full', 'quota/contention'] as const) {
    const message = 'podrate.dev/quota: so it is; try again in a minute';
    expect((await admit(failing(new QuotaError(code, 'so it is')), json)).decision).toEqual({
      outcome: 'deny',
      status: 403,
      code,
      message,
    });
  }
  await expect(admit(failing(new ApiFailure('so it is')), json)).rejects.toThrow('so it is');
});

test('a foreign stamp is quoted and cut in the message', async () => {
  const annotations = { 'podrate.dev/limit': `\u001b[31m${'x'.repeat(200_000)}` };
  const json = podJson({ labels: { rate: '1M', 'podrate.dev/shaped': 'true' }, annotations });
  const decision = await admission({ mode: 'enforce' }).validate(review(json), asked);
  expect(decision).toMatchObject({ outcome: 'deny', message: expect.stringContaining('is "\\u001b[31mxxx') });
  expect(decision.outcome === 'deny' && decision.message.length).toBeLessThan(400);
});
