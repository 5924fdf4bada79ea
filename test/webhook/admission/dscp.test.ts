import { describe, expect, test } from 'vitest';
import { admissionIn, admit as admitIn, asked, podJson, review } from './pods.ts';

type Strings = Record<string, string>;
const dscp = (text: string) => ({ 'podrate.dev/dscp': text });
const metadataOf = (json: unknown) => (json as { metadata: { annotations?: Strings; labels?: Strings } }).metadata;

/** Mutates and validates a pod in a namespace with a policy. */
async function admit(json: object, old?: object, policy: Strings = { mode: 'enforce' }) {
  const result = await admitIn(admissionIn(policy), json, old);
  const { annotations, labels } = metadataOf(result.stored);
  return {
    ...result,
    stamp: { annotation: annotations?.['podrate.dev/limit'], label: labels?.['podrate.dev/shaped'] },
  };
}

const stamped = (annotation: string) => ({ annotation, label: 'true' });
const noStamp = { annotation: undefined, label: undefined };
const good = { outcome: 'leave', warnings: [] };

describe('the annotation podrate.dev/dscp', () => {
  test.each([
    [{ annotations: dscp('46') }, stamped('{"dscp":46}')],
    [{ annotations: dscp('ef') }, stamped('{"dscp":46}')],
    [{ annotations: dscp('CS0') }, stamped('{"dscp":0}')],
    [{ annotations: dscp('none') }, noStamp],
    [{ labels: { rate: '1M' }, annotations: dscp('AF41') }, stamped('{"egress":1000000,"ingress":1000000,"dscp":34}')],
    [{ labels: { rate: 'none' }, annotations: dscp('LE') }, stamped('{"dscp":1}')],
    [{ labels: { rate: '1M' }, annotations: dscp('none') }, stamped('{"egress":1000000,"ingress":1000000}')],
  ])('of %j is stamped', async (metadata, stamp) => {
    const result = await admit(podJson(metadata));
    expect(result.decision).toEqual(good);
    expect(result.stamp).toEqual(stamp);
    // Deciding again changes nothing.
    expect((await admit(result.stored)).mutated.outcome).toBe('leave');
  });

  test.each(['64', 'gold', '', '0x2e', '-1'])('of %j is refused, in every mode, with a sentence', async (text) => {
    for (const policy of [{ mode: 'warn' }, { mode: 'audit' }]) {
      const { decision } = await admit(podJson({ annotations: dscp(text) }), undefined, policy as Strings);
      expect(decision).toMatchObject({ outcome: 'deny', status: 422, code: expect.stringMatching(/^dscp\//) });
      expect(decision).toMatchObject({
        message: expect.stringContaining(`annotation podrate.dev/dscp: "${text}" is `),
      });
    }
  });

  test('of a running pod without a stamp is stamped alone: the default that came later is not given with it', async () => {
    for (const old of [podJson({}), podJson({ annotations: dscp('CS1') })]) {
      const result = await admit(podJson({ annotations: dscp('EF') }), old, { mode: 'enforce', default: '3M' });
      expect([result.decision, result.stamp]).toEqual([good, stamped('{"dscp":46}')]);
      const again = await admit(result.stored, old, { mode: 'enforce', default: '3M' });
      expect([again.mutated.outcome, again.decision]).toEqual(['leave', good]);
    }
    // Unless it is asked for.
    const asking = podJson({ annotations: dscp('EF'), labels: { 'podrate.dev/shaped': 'wanted' } });
    const result = await admit(asking, podJson({}), { mode: 'enforce', default: '3M' });
    expect(result.stamp).toEqual(stamped('{"egress":3000000,"ingress":3000000,"dscp":46}'));
    expect(result.decision).toEqual(good);
    expect((await admit(result.stored, podJson({}), { mode: 'enforce', default: '3M' })).mutated.outcome).toBe('leave');
  });

  test('changes while the pod runs, and its stamp with it', async () => {
    const { stored } = await admit(podJson({ labels: { rate: '1M' }, annotations: dscp('EF') }));
    const change = async (text: string | undefined) => {
      const json = structuredClone(stored);
      const { annotations = {} } = metadataOf(json);
      if (text === undefined) delete annotations['podrate.dev/dscp'];
      else annotations['podrate.dev/dscp'] = text;
      return admit(json, stored);
    };
    expect((await change('CS1')).stamp).toEqual(stamped('{"egress":1000000,"ingress":1000000,"dscp":8}'));
    expect((await change(undefined)).stamp).toEqual(stamped('{"egress":1000000,"ingress":1000000}'));
    expect((await change('64')).decision).toMatchObject({ outcome: 'deny', status: 422 });
  });

  test('that was malformed while nobody was asked marks nothing, and holds no other change of the pod', async () => {
    const old = podJson({ labels: { rate: '1M' }, annotations: dscp('gold') });
    const changed = podJson({ labels: { rate: '1M', app: 'web' }, annotations: dscp('gold') });
    const { decision, stamp } = await admit(changed, old);
    expect(decision).toEqual(good);
    expect(stamp).toEqual(stamped('{"egress":1000000,"ingress":1000000}'));
  });

  test('is nothing that a policy looks at: a pod needs its rate all the same, and running ones keep theirs', async () => {
    const quota = { mode: 'enforce', quota: '10M' };
    expect((await admit(podJson({ annotations: dscp('EF') }), undefined, quota)).decision).toMatchObject({
      outcome: 'deny',
      code: 'policy/no-rate',
    });
    const { stored } = await admit(podJson({ labels: { rate: '5M' } }));
    const json = structuredClone(stored);
    Object.assign(metadataOf(json).annotations ?? {}, dscp('EF'));
    const { decision, stamp } = await admit(json, stored, { mode: 'enforce', max: '1M', default: '1M' });
    expect(decision.outcome).toBe('leave');
    expect(stamp).toEqual(stamped('{"egress":5000000,"ingress":5000000,"dscp":46}'));
  });

  test('is stamped also where a malformed rate is only warned about', async () => {
    const { stamp } = await admit(podJson({ labels: { rate: '10' }, annotations: dscp('EF') }), undefined, {
      mode: 'warn',
    });
    expect(stamp).toEqual(stamped('{"dscp":46}'));
  });

  test('with hostNetwork is told that nothing is marked, and what is only marked is not told about limits', async () => {
    const spec = { hostNetwork: true };
    const annotations = { ...dscp('EF'), 'kubernetes.io/egress-bandwidth': '1M' };
    const { mutated } = await admit(podJson({ annotations }, spec));
    expect(mutated).toMatchObject({
      warnings: ['hostNetwork: packets are not marked, for the pod has no network namespace of its own'],
    });
  });
});

test('a stamp whose code point another webhook changed is refused', async () => {
  const { stored } = await admit(podJson({ annotations: dscp('EF') }));
  const forged = structuredClone(stored);
  Object.assign(metadataOf(forged).annotations ?? {}, { 'podrate.dev/limit': '{"dscp":8}' });
  const decision = await admissionIn({ mode: 'warn' }).validate(review(forged), asked);
  expect(decision).toMatchObject({ outcome: 'deny', code: 'stamp/forged' });
  expect(decision).toMatchObject({ message: expect.stringContaining('must be {"dscp":46}') });
});
