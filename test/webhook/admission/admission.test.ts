import { expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { parseRate } from '../../../rate/rate.ts';
import { createAdmission } from '../../../webhook/admission/admission.ts';
import { admissionIn, admit, asked, podJson, review } from './pods.ts';

const installed = (rate: string) => ({ egress: parseRate(rate), ingress: parseRate(rate) });
const good = { outcome: 'leave', warnings: [] };
const deployment = (labels: object, annotations: object = {}) => ({
  metadata: { name: 'web' },
  spec: { template: { metadata: { labels, annotations } } },
});
const template = (labels: object, oldLabels?: object) =>
  review(deployment(labels), oldLabels && deployment(oldLabels), { resource: 'deployments' });

test('a pod template without a rate is not refused for a quota that demands one, but gets a warning', async () => {
  const validate = (policy: Record<string, string>, ...labels: Parameters<typeof template>) =>
    admissionIn(policy).validate(template(...labels), asked);
  const words = 'pod template: failed quota: podrate.dev/quota: must specify rate, as in rate=1M';
  const quota = { mode: 'enforce', quota: '5M' };
  expect(await validate(quota, { app: 'x' })).toMatchObject({ outcome: 'leave', warnings: [words] });
  expect(await validate(quota, {}, { rate: '1M' })).toMatchObject({ outcome: 'leave', warnings: [words] });
  expect(await validate({ ...quota, mode: 'audit' }, {})).toMatchObject({ warnings: [], fault: { mode: 'audit' } });
  expect(await validate(quota, {}, { app: 'x' })).toEqual(good);
  expect(await validate({ ...quota, default: '1M' }, {})).toEqual(good);
  expect(await validate({}, {})).toEqual(good);
  expect(await validate(quota, { rate: 'none' })).toMatchObject({ outcome: 'deny', code: 'policy/no-rate' });
  const cronJob = { spec: { jobTemplate: { spec: deployment({ rate: '10' }).spec } } };
  const message = expect.stringContaining('pod template: label rate: "10" has no unit');
  const decision = await admissionIn({}).validate(review(cronJob, undefined, { resource: 'cronjobs' }), asked);
  expect(decision).toMatchObject({ outcome: 'deny', status: 422, message });
});

test('a pod template with a malformed code point is refused when it is applied, or changed', async () => {
  const of = (text: string) => deployment({}, { 'podrate.dev/dscp': text });
  const validate = (text: string, old?: string) =>
    admissionIn({}).validate(review(of(text), old === undefined ? undefined : of(old), { resource: 'jobs' }), asked);
  const message = expect.stringMatching(/^pod template: annotation podrate\.dev\/dscp: "gold" is no name/);
  expect(await validate('gold')).toMatchObject({ outcome: 'deny', status: 422, message });
  expect(await validate('gold', 'EF')).toMatchObject({ outcome: 'deny' });
  expect(await validate('gold', 'gold')).toEqual(good);
  expect(await validate('EF')).toEqual(good);
});

test('a namespace with a malformed policy is refused when it is written, and may change in everything else', async () => {
  const named = (labels: object) => ({ metadata: { labels } });
  const bad = { 'podrate.dev/max': '5M' };
  const validate = (labels: object, old?: object) =>
    admissionIn({}).validate(review(named(labels), old && named(old), { resource: 'namespaces' }), asked);
  expect(await validate(bad)).toMatchObject({ outcome: 'deny', status: 422, code: 'policy/no-mode' });
  expect(await validate({ ...bad, team: 'a' }, bad)).toMatchObject({
    outcome: 'leave',
    warnings: [expect.any(String)],
  });
  expect(await validate({ ...bad, 'podrate.dev/mode': 'warn' }, bad)).toEqual(good);
});

test('a policy that got in malformed refuses new pods with its sentence, unless it only warns, and holds no change', async () => {
  const json = podJson({ labels: { rate: '1M' } });
  const webhook = admissionIn({ max: '5M' });
  const { decision } = await admit(webhook, json);
  const message = expect.stringContaining('the namespace has no usable policy: label podrate.dev/max does nothing');
  expect(decision).toMatchObject({ outcome: 'deny', status: 403, code: 'policy/no-mode', message });
  expect((await admit(webhook, json, json)).decision.outcome).toBe('leave');
  const warned = await admit(admissionIn({ mode: 'warn', max: 'x' }), json);
  expect(warned.decision).toMatchObject({ outcome: 'leave', warnings: [expect.stringContaining('no usable policy')] });
});

test("the smaller of the installation's and the namespace's maximum holds, whenever it was lowered", async () => {
  const installation = { default: {}, max: installed('1M') };
  for (const mode of ['enforce', 'audit']) {
    const policy = { mode, max: '5M', default: '2M', min: '1500K' };
    const webhook = admissionIn(policy, undefined, installation);
    expect((await admit(webhook, podJson({ labels: { rate: '1M' } }))).decision).toEqual(good);
    expect((await admit(webhook, podJson({}))).stored).toMatchObject({
      metadata: { annotations: { 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}' } },
    });
    const { decision } = await admit(webhook, podJson({ labels: { rate: '2M' } }));
    expect(JSON.stringify(decision)).toContain('maximum rate per Pod is 1M, but limit is 2M');
  }
});

test('a namespace that cannot be read is a failure of the webhook, and one without a policy is not asked for', async () => {
  const labelsOf = async (_: string, hasPolicy: boolean) => {
    if (hasPolicy) throw new Error('away');
    return undefined;
  };
  const parts = { keys: labelKeys('rate'), installation: { default: {}, max: {} }, labelsOf, quota: undefined };
  const webhook = createAdmission(parts);
  await expect(webhook.mutate(review(podJson({})), asked)).rejects.toThrow('away');
  await expect(webhook.validate(review(podJson({})), asked)).rejects.toThrow('away');
  expect(await webhook.mutate(review(podJson({})), { hasPolicy: false })).toEqual(good);
});

test('an object that is none, or another operation, is refused by the name of the field', async () => {
  const { mutate, validate } = admissionIn({ mode: 'enforce' });
  for (const decide of [mutate, validate]) {
    for (const [object, more, field] of [
      [null, {}, 'object must be an object'],
      [podJson({ labels: { rate: 1 } }), {}, 'object.metadata.labels["rate"] must be a string'],
      [podJson({ ownerReferences: 'x' }), {}, 'ownerReferences must be an array'],
      [podJson({}), { operation: 'DELETE' }, 'request.operation must be CREATE or UPDATE'],
    ] as const) {
      expect(await decide(review(object, undefined, more), asked)).toMatchObject({
        outcome: 'deny',
        status: 422,
        message: expect.stringContaining(field),
      });
    }
  }
});
