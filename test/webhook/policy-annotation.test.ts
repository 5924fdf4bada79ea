import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ApiFailure } from '../../kube/api-failure.ts';
import { labelKeys } from '../../rate/keys.ts';
import type { Policy } from '../../rate/policy.ts';
import { createAdmission } from '../../webhook/admission.ts';
import { decide, type FoundPolicy } from '../../webhook/decide.ts';
import { podSchema } from '../../webhook/pod.ts';
import { applied, pod, podJson } from './pods.ts';

const keys = labelKeys('rate');

describe('the annotation podrate.dev/policy', () => {
  const bounds = { egress: 1_000_000, ingress: 2_000_000 };
  const policy = { mode: 'warn', default: bounds, min: {}, max: {}, quota: {} } as Policy;
  const policyOf = (metadata: object, found?: FoundPolicy, old?: object) => {
    const change = { pod: pod(metadata), oldPod: old && pod(old), byNode: false };
    return podSchema.parse(applied(podJson(metadata), decide(change, keys, found))).metadata.annotations?.[
      'podrate.dev/policy'
    ];
  };
  const rated = { labels: { rate: '1M' } };
  const claimed = { ...rated, annotations: { 'podrate.dev/policy': 'audit' } };

  test('of a new pod that is stamped says the mode of the policy that there is, or that it is not known', () => {
    expect(policyOf(rated, policy)).toBe('warn');
    expect(policyOf({}, policy)).toBe('warn');
    expect(policyOf(rated, 'unknown')).toBe('unknown');
    expect(policyOf(rated)).toBeUndefined();
    expect(policyOf({ labels: { rate: 'none' } }, policy)).toBeUndefined();
  });

  test('cannot be claimed, nor avoided, by the writer of a new pod', () => {
    expect(policyOf(claimed)).toBeUndefined();
    expect(policyOf(claimed, policy)).toBe('warn');
  });

  test('is left as it is when a pod changes: it is about new pods', () => {
    expect(policyOf(rated, policy, {})).toBeUndefined();
    expect(policyOf(claimed, undefined, claimed)).toBe('audit');
  });
});

describe('a new pod whose labels say all', () => {
  const labelled = podJson({ labels: { rate: '1M' } });
  const review = (old?: object) => ({
    ...{ uid: 'u-1', namespace: 'shop', name: 'web', dryRun: false, byNode: false },
    operation: old === undefined ? ('CREATE' as const) : ('UPDATE' as const),
    ...{ pod: podSchema.parse(labelled), oldPod: old && podSchema.parse(old) },
  });
  const limit = '{"egress":1000000,"ingress":1000000}';
  const stamped = async (readNamespace: () => Promise<Record<string, string>>, old?: object) => {
    let reads = 0;
    const read = () => {
      reads += 1;
      return readNamespace();
    };
    const parts = { keys, installation: { default: {}, max: {} }, readNamespace: read, quota: undefined };
    const decision = await createAdmission(parts).mutate(review(old), { caller: new AbortController() });
    return { reads, metadata: applied(labelled as { metadata: object }, decision).metadata };
  };
  const marked = (policy?: string) => ({
    annotations: { 'podrate.dev/limit': limit, ...(policy && { 'podrate.dev/policy': policy }) },
  });

  test('is marked where its namespace has a policy, which is the reason to validate it', async () => {
    const policy = { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '500K' };
    expect(await stamped(async () => policy)).toMatchObject({ reads: 1, metadata: marked('enforce') });
    expect((await stamped(async () => ({ team: 'a' }))).metadata).toEqual({
      ...{ name: 'web', labels: { rate: '1M', 'podrate.dev/shaped': 'true' } },
      ...marked(),
    });
  });

  test('is stamped all the same where the policy cannot be read at one try, not within half a second, or is unusable, and marked', async () => {
    const away = await stamped(() => Promise.reject(new ApiFailure('no answer')));
    expect(away).toMatchObject({ reads: 1, metadata: marked('unknown') });
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const slow = stamped(() => new Promise(() => undefined));
    await vi.advanceTimersByTimeAsync(500);
    expect(await slow).toMatchObject({ reads: 1, metadata: marked('unknown') });
    const malformed = await stamped(async () => ({ 'podrate.dev/max': '500K' }));
    expect(malformed.metadata).toMatchObject(marked('unknown'));
  });

  test('needs no policy later, when it changes', async () => {
    const changed = await stamped(async () => ({ 'podrate.dev/mode': 'enforce' }), podJson({}));
    expect(changed).toMatchObject({ reads: 0, metadata: marked() });
    expect(JSON.stringify(changed)).not.toContain('podrate.dev/policy');
  });
});
