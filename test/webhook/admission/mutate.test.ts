import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import type { Decision } from '../../../webhook/admission/decision.ts';
import { mutatePod } from '../../../webhook/admission/mutate.ts';
import { readPod } from '../../../webhook/admission/pod.ts';
import { applied, pod, podJson } from './pods.ts';

const keys = labelKeys('rate');
const create = (metadata: object, spec: object = {}) =>
  mutatePod({ pod: pod(metadata, spec), oldPod: undefined }, keys);
const stamp = (egress: number, ingress = egress) => JSON.stringify({ egress, ingress });
const stamped = (value: string) => ({
  annotations: { 'podrate.dev/limit': value },
  labels: { 'podrate.dev/shaped': 'true' },
});
const owned = {
  ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'u', controller: true }],
};
const told = (decision: Decision) => ('warnings' in decision ? decision.warnings : []);

describe('a new pod', () => {
  test('without a rate label is left alone', () => {
    expect(create({ labels: { app: 'web' } })).toEqual({ outcome: 'leave', warnings: [] });
    expect(create({})).toEqual({ outcome: 'leave', warnings: [] });
  });

  test('with a rate label is stamped and marked, and nothing else of it changes', () => {
    const json = podJson({ labels: { rate: '1M', app: 'web' }, annotations: { note: 'x' } });
    expect(applied(json, mutatePod({ pod: readPod(json), oldPod: undefined }, keys))).toEqual({
      ...json,
      metadata: {
        name: 'web',
        labels: { rate: '1M', app: 'web', 'podrate.dev/shaped': 'true' },
        annotations: { note: 'x', 'podrate.dev/limit': stamp(1_000_000) },
      },
    });
  });

  test('with limits per direction gets a stamp per direction', () => {
    const json = podJson({ labels: { rate: '1M', 'rate-egress': '2M', 'rate-ingress': 'none' } });
    const result = applied(json, create(json.metadata)).metadata as { annotations?: object };
    expect(result.annotations).toEqual({ 'podrate.dev/limit': '{"egress":2000000}' });
  });

  test('without a limit in any direction gets no stamp', () => {
    expect(create({ labels: { rate: 'none' } })).toEqual({ outcome: 'leave', warnings: [] });
  });

  test('gets its rate labels in canonical form, unless a controller owns it or somebody applies it', () => {
    const labels = { rate: '1000KB', 'rate-egress': '16mbit' };
    const rewritten = (metadata: object) =>
      (applied(podJson(metadata), create(metadata)).metadata as { labels?: object }).labels;
    expect(rewritten({ labels })).toMatchObject({ rate: '1M', 'rate-egress': '2M' });
    expect(rewritten({ labels, ...owned })).toMatchObject(labels);
    const lastApplied = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
    expect(rewritten({ labels, annotations: lastApplied })).toMatchObject(labels);
    const managedFields = [{ manager: 'gitops', operation: 'Apply' }];
    expect(rewritten({ labels, managedFields })).toMatchObject(labels);
    expect(rewritten({ labels, managedFields: [{ operation: 'Update' }] })).toMatchObject({ rate: '1M' });
    expect(rewritten({ labels, ownerReferences: [{ kind: 'Thing', controller: false }] })).toMatchObject({
      rate: '1M',
    });
  });

  test.each(['10', '1m', '-1M', '1e6', '1 M', '0M', '0.5K', '13G', '', 'fast', '1Mb'])(
    'with the rate %j is refused with the sentence about it',
    (rate) => {
      const decision = create({ labels: { rate } });
      expect(decision).toMatchObject({ outcome: 'deny', status: 422, code: expect.stringMatching(/^rate\//) });
      expect(decision.outcome === 'deny' && decision.message).toContain(`label rate: ${JSON.stringify(rate)} `);
    },
  );

  test('with a forged stamp gets the right one or none', () => {
    const forged = stamped(stamp(12_500_000_000));
    expect(applied(podJson(forged), create(forged)).metadata).toEqual({ name: 'web', annotations: {}, labels: {} });
    const both = { ...forged, labels: { ...forged.labels, rate: '1M' } };
    expect(applied(podJson(both), create(both)).metadata).toMatchObject({
      annotations: { 'podrate.dev/limit': stamp(1_000_000) },
    });
    expect(create({ labels: { 'podrate.dev/shaped': 'no' } })).toMatchObject({ outcome: 'patch' });
  });

  test('is judged by the label key of the installation', () => {
    const own = labelKeys('example.com/speed');
    const change = (labels: object) => mutatePod({ pod: pod({ labels }), oldPod: undefined }, own);
    expect(change({ rate: 'high' }).outcome).toBe('leave');
    expect(change({ 'example.com/speed': '1M' }).outcome).toBe('patch');
    expect(change({ 'example.com/speed-egress': 'high' })).toMatchObject({
      message: expect.stringContaining('label example.com/speed-egress'),
    });
  });
});

describe('a changed pod', () => {
  const before = {
    labels: { rate: '1M', 'podrate.dev/shaped': 'true' },
    annotations: { 'podrate.dev/limit': stamp(1_000_000) },
  };
  const update = (metadata: object, old: object = before) => mutatePod({ pod: pod(metadata), oldPod: pod(old) }, keys);

  test('with another rate gets another stamp', () => {
    expect(update({ ...before, labels: { ...before.labels, rate: '2M' } })).toMatchObject({
      operations: [{ op: 'replace', path: '/metadata/annotations/podrate.dev~1limit', value: stamp(2_000_000) }],
    });
  });

  test('that asks for its stamp gets it, and keeps its label as it is written', () => {
    const old = { labels: { rate: '1000K' } };
    const asking = { labels: { rate: '1000K', 'podrate.dev/shaped': 'wanted' } };
    expect(applied(podJson(asking), update(asking, old)).metadata).toEqual({
      name: 'web',
      labels: { rate: '1000K', 'podrate.dev/shaped': 'true' },
      annotations: { 'podrate.dev/limit': stamp(1_000_000) },
    });
  });

  test('that lost its rate label loses its stamp', () => {
    const without = { ...before, labels: { 'podrate.dev/shaped': 'true' } };
    expect(applied(podJson(without), update(without)).metadata).toEqual({ name: 'web', labels: {}, annotations: {} });
  });

  test('whose stamp somebody took away or changed gets it back', () => {
    expect(update({ labels: { rate: '1M' } }).outcome).toBe('patch');
    expect(update({ ...before, annotations: { 'podrate.dev/limit': '{}' } })).toMatchObject({
      operations: [{ op: 'replace', value: stamp(1_000_000) }],
    });
  });

  test('with a rate that is none is refused if the label is new, and only warned about if it was there', () => {
    const bad = { labels: { rate: '10' }, finalizers: ['example.com/x'] };
    expect(update(bad).outcome).toBe('deny');
    const kept = update({ labels: { rate: '10' } }, bad);
    expect(kept).toEqual({
      outcome: 'leave',
      warnings: [expect.stringContaining('this pod has no limit: label rate: "10" has no unit')],
    });
    expect(update({ labels: { rate: '10', 'rate-egress': '1M' } }, bad).outcome).toBe('deny');
  });

  test('that keeps a bad label cannot keep a forged stamp', () => {
    const bad = { labels: { ...before.labels, 'rate-egress': 'x' }, annotations: before.annotations };
    expect(applied(podJson(bad), update(bad, bad)).metadata).toMatchObject({ annotations: {} });
  });
});

describe('a warning', () => {
  test('is given for a limit below one packet per 100 ms, per direction', () => {
    expect(told(create({ labels: { rate: '14.9K' } }))).toHaveLength(2);
    expect(told(create({ labels: { 'rate-egress': '1K' } }))).toEqual([
      expect.stringMatching(/^egress 1K\/s is less than/),
    ]);
    expect(told(create({ labels: { rate: '15K' } }))).toEqual([]);
  });

  test('is given for hostNetwork and for the annotations of other shapers, if the pod has a limit', () => {
    const annotations = { 'kubernetes.io/egress-bandwidth': '1M', 'kubernetes.io/ingress-bandwidth': '1M' };
    expect(told(create({ labels: { rate: '1M' }, annotations }, { hostNetwork: true }))).toEqual([
      expect.stringMatching(/^hostNetwork/),
      expect.stringContaining('kubernetes.io/egress-bandwidth'),
      expect.stringContaining('kubernetes.io/ingress-bandwidth'),
    ]);
    expect(told(create({ annotations }, { hostNetwork: true }))).toEqual([]);
  });

  test('is given for the runtime class of a sandbox, if the pod has a limit', () => {
    const words = 'runtimeClassName kata-qemu: the limit does not hold for a pod in a sandbox';
    expect(told(create({ labels: { rate: '1M' } }, { runtimeClassName: 'kata-qemu' }))).toEqual([words]);
    expect(told(create({ labels: { rate: '1M' } }, { runtimeClassName: 'nvidia' }))).toEqual([]);
    expect(told(create({}, { runtimeClassName: 'kata-qemu' }))).toEqual([]);
  });

  test('is given once, not with every change of the pod', () => {
    const json = podJson({ labels: { rate: '1K' } });
    const after = readPod(applied(json, create(json.metadata)));
    expect(told(mutatePod({ pod: after, oldPod: after }, keys))).toEqual([]);
  });

  test('fits into the 120 characters that Kubernetes promises to show', () => {
    const annotations = { 'kubernetes.io/egress-bandwidth': '1M', 'kubernetes.io/ingress-bandwidth': '1.001234567M' };
    const all = told(create({ labels: { rate: '1.001K' }, annotations }, { hostNetwork: true }));
    expect(all).toHaveLength(5);
    for (const line of all) expect(line.length).toBeLessThanOrEqual(120);
  });
});

describe('where annotations of CNI plugins are obeyed,', () => {
  const annotations = { 'kubernetes.io/egress-bandwidth': '10M' };
  const decide = (metadata: object, old?: object) => {
    const [pod, oldPod] = [readPod(podJson(metadata)), old && readPod(podJson(old))];
    return mutatePod({ pod, oldPod }, keys, undefined, true);
  };
  const result = (metadata: object) => applied(podJson(metadata), decide(metadata)).metadata as object;

  test('a new pod without a rate label gets the labels and the stamp for them, in bytes', () => {
    expect(result({ annotations })).toMatchObject({
      labels: { 'rate-egress': '1.25M', 'podrate.dev/shaped': 'true' },
      annotations: { 'podrate.dev/limit': '{"egress":1250000}' },
    });
  });

  test('a rate label wins, one that is no rate too, and pods that are there keep what they have', () => {
    expect(result({ annotations, labels: { rate: '2M' } })).toMatchObject({
      annotations: { 'podrate.dev/limit': stamp(2_000_000) },
    });
    expect(decide({ annotations, labels: { rate: 'fast' } })).toMatchObject({ outcome: 'deny' });
    expect(decide({ annotations }, {})).toEqual({ outcome: 'leave', warnings: [] });
  });

  test('deciding again about the patched pod changes nothing', () => {
    const once = podJson(result({ annotations }) as never);
    expect(mutatePod({ pod: readPod(once), oldPod: undefined }, keys, undefined, true)).toMatchObject({
      outcome: 'leave',
    });
  });

  test('what a CNI plugin would refuse asks for nothing', () => {
    expect(decide({ annotations: { 'kubernetes.io/egress-bandwidth': 'fast' } })).toEqual({
      outcome: 'leave',
      warnings: [],
    });
  });
});

describe('whatever pod is decided about,', () => {
  const value = fc.oneof(
    fc.constantFrom(
      '1M',
      '1000K',
      '1.50M',
      '8mbit',
      '1Ki',
      'none',
      '10',
      '1m',
      '',
      'true',
      '{}',
      stamp(1000),
      stamp(1_000_000),
    ),
    fc.string({ maxLength: 20 }),
  );
  const ownKeys = [...['rate', 'rate-egress', 'rate-ingress'], ...['podrate.dev/shaped', 'podrate.dev/limit']];
  const strings = fc.option(
    fc.dictionary(
      fc.constantFrom(
        ...ownKeys,
        'app',
        'a/b~c',
        'kubernetes.io/egress-bandwidth',
        'kubernetes.io/config.mirror',
        'kubernetes.io/config.hash',
      ),
      value,
      {
        maxKeys: 6,
        noNullPrototype: true,
      },
    ),
    { nil: undefined },
  );
  const pods = fc
    .record({ labels: strings, annotations: strings, owner: fc.boolean(), hostNetwork: fc.boolean() })
    .map(({ labels, annotations, owner, hostNetwork }) =>
      podJson(
        { ...(labels && { labels }), ...(annotations && { annotations }), ...(owner && owned), finalizers: ['a/b'] },
        { hostNetwork },
      ),
    );
  const changes = fc.record({ json: pods, old: fc.option(pods, { nil: undefined }) });
  const decideJson = (json: object, old: object | undefined) =>
    mutatePod({ pod: readPod(json), oldPod: old && readPod(old) }, keys);

  test('deciding again about the result changes nothing', () => {
    fc.assert(
      fc.property(changes, ({ json, old }) => {
        const first = decideJson(json, old);
        if (first.outcome === 'deny') return;
        expect(decideJson(applied(json, first), old).outcome).toBe('leave');
      }),
      { numRuns: 3_000 },
    );
  });

  test('its stamp afterwards is what its labels say, or what the old pod had, never what its writer put there', () => {
    fc.assert(
      fc.property(changes, ({ json, old }) => {
        const decision = decideJson(json, old);
        if (decision.outcome === 'deny') return;
        const forged = structuredClone(json) as ReturnType<typeof podJson> & { metadata: Record<string, object> };
        forged.metadata.annotations = { ...forged.metadata.annotations, 'podrate.dev/limit': stamp(666_000) };
        forged.metadata.labels = { ...forged.metadata.labels, 'podrate.dev/shaped': 'true' };
        const own = (result: object) => readPod(result);
        const [honest, result] = [own(applied(json, decision)), own(applied(forged, decideJson(forged, old)))];
        expect(result.annotations?.['podrate.dev/limit']).toBe(honest.annotations?.['podrate.dev/limit']);
        expect(result.labels?.['podrate.dev/shaped']).toBe(honest.labels?.['podrate.dev/shaped']);
      }),
      { numRuns: 3_000 },
    );
  });

  test('nothing but the stamp and the rate labels changes', () => {
    fc.assert(
      fc.property(changes, ({ json, old }) => {
        const before = structuredClone(json);
        const after = applied(json, decideJson(json, old));
        expect(json).toEqual(before);
        expect(foreign(after)).toEqual(foreign(json));
        if (json.metadata && 'ownerReferences' in json.metadata) expect(rates(after)).toEqual(rates(json));
      }),
      { numRuns: 3_000 },
    );
  });

  const pick = (strings: object | undefined, keep: (key: string) => boolean) =>
    Object.fromEntries(Object.entries(strings ?? {}).filter(([key]) => keep(key)));
  const foreign = (json: object) => {
    const copy = structuredClone(json) as { metadata: { labels?: object; annotations?: object } };
    copy.metadata.labels = pick(copy.metadata.labels, (key) => !ownKeys.includes(key) || key === 'podrate.dev/limit');
    copy.metadata.annotations = pick(copy.metadata.annotations, (key) => key !== 'podrate.dev/limit');
    return copy;
  };
  const rates = (json: object) =>
    pick((json as { metadata: { labels?: object } }).metadata.labels, (key) => key.startsWith('rate'));
});
