import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyPolicy, exceededQuota, withInstallation } from '../../rate/apply-policy.ts';
import { directions, type Labels, type Request } from '../../rate/limit.ts';
import { modeLabel, modes, type Policy, PolicyError, parsePolicy } from '../../rate/policy.ts';
import { formatRate, isRate, type Rate } from '../../rate/rate.ts';

const nothing = { default: {}, max: {} };
const parse = (labels: Labels) => parsePolicy(labels, nothing);
const refusal = (labels: Labels, installation = nothing): PolicyError => {
  try {
    parsePolicy(labels, installation);
  } catch (error) {
    if (error instanceof PolicyError) return error;
    throw error;
  }
  throw new Error(`${JSON.stringify(labels)} was accepted`);
};
const both = (rate: number) => ({ egress: rate, ingress: rate });
const labelled = (labels: Record<string, string>) =>
  Object.fromEntries(
    Object.entries({ mode: 'enforce', ...labels }).map(([key, value]) => [`podrate.dev/${key}`, value]),
  );

describe('a policy', () => {
  test('is read per direction, and a direction wins over both', () => {
    const labels = labelled({ default: '1M', 'max-egress': '5M', quota: '20G', 'quota-ingress': '30G', min: '10K' });
    expect(parse({ ...labels, team: 'shop' })).toEqual({
      mode: 'enforce',
      default: both(1_000_000),
      min: both(10_000),
      max: { egress: 5_000_000 },
      quota: { egress: 20_000_000_000, ingress: 30_000_000_000 },
    });
  });

  test('is not there without a label', () => {
    expect(parse(undefined)).toBeUndefined();
    expect(parse({ team: 'shop', 'kubernetes.io/metadata.name': 'shop' })).toBeUndefined();
  });

  test.each([
    [
      { 'podrate.dev/max': '1M' },
      'policy/no-mode',
      'label podrate.dev/max does nothing without a mode: write podrate.dev/mode=enforce',
    ],
    [{ 'podrate.dev/mode': 'Enforce' }, 'policy/mode', '"Enforce" is no mode: write podrate.dev/mode=enforce'],
    [labelled({ maximum: '1M' }), 'policy/key', 'label podrate.dev/maximum is no policy label'],
    [labelled({ max: '10' }), 'rate/no-unit', 'label podrate.dev/max: "10" has no unit'],
    [labelled({ 'quota-egress': '1m' }), 'rate/letter-case', 'label podrate.dev/quota-egress: "1m"'],
    [labelled({ default: 'none' }), 'rate/number', 'where a rate is needed'],
    [labelled({ default: '13G' }), 'rate/too-large', 'write 12.5G or less'],
    [labelled({ quota: '2000000G' }), 'rate/too-large', 'write 1000000G or less'],
    // Also where other labels win over it.
    [labelled({ max: '10', 'max-egress': '1M', 'max-ingress': '1M' }), 'rate/no-unit', 'label podrate.dev/max'],
    [
      labelled({ min: '2M', max: '1M' }),
      'policy/contradiction',
      'label podrate.dev/min: 2M is above podrate.dev/max, 1M: write 1M or less',
    ],
    [
      labelled({ default: '2M', 'max-ingress': '1M' }),
      'policy/contradiction',
      'label podrate.dev/default: 2M is above podrate.dev/max-ingress, 1M',
    ],
    [
      labelled({ default: '1M', min: '2M' }),
      'policy/contradiction',
      'label podrate.dev/min: 2M is above podrate.dev/default, 1M',
    ],
    [
      labelled({ default: '2M', quota: '1M' }),
      'policy/contradiction',
      'label podrate.dev/default: 2M is above podrate.dev/quota, 1M',
    ],
  ])('from %j is refused with %s', (labels, code, words) => {
    const error = refusal(labels);
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
    expect(error.message).toMatch(/write /);
  });

  test('cannot widen the installation', () => {
    const installation = { default: {}, max: both(1_000_000) as { egress: Rate; ingress: Rate } };
    for (const field of ['max', 'default', 'min']) {
      expect(refusal(labelled({ [field]: '2M' }), installation).message).toContain(
        "above the installation's maximum, 1M",
      );
    }
    expect(parsePolicy(labelled({ max: '1M' }), installation)).toMatchObject({ max: both(1_000_000) });
  });

  const anyLabels = fc.dictionary(
    fc
      .constantFrom(
        ...['mode', 'default', 'min', 'max', 'quota', 'maxi'].flatMap((field) => [
          field,
          `${field}-egress`,
          `${field}-ingress`,
        ]),
      )
      .map((key) => `podrate.dev/${key}`),
    fc.oneof(
      fc.constantFrom('enforce', 'warn', 'audit', '1M', '2M', '5M', '1K', 'none', '10', ''),
      fc.string({ maxLength: 8 }),
    ),
  );

  test('from whatever labels is in order, or a sentence that says what to write', () => {
    fc.assert(
      fc.property(anyLabels, fc.boolean(), (labels, hasMode) => {
        const given = hasMode ? { ...labels, [modeLabel]: 'warn' } : labels;
        let policy: Policy | undefined;
        try {
          policy = parse(given);
        } catch (error) {
          expect(error).toBeInstanceOf(PolicyError);
          expect((error as PolicyError).message).toMatch(/^label podrate\.dev\/.*write /s);
          return;
        }
        if (policy === undefined) {
          expect(Object.keys(given)).toEqual([]);
          return;
        }
        expect(modes).toContain(policy.mode);
        for (const direction of directions) {
          const [min, given, max] = [policy.min[direction], policy.default[direction], policy.max[direction]];
          const present = [min, given, max].filter((rate) => rate !== undefined);
          expect(present.toSorted((one, other) => one - other)).toEqual(present);
        }
      }),
      { numRuns: 700 },
    );
  });
});

describe('a pod under a policy', () => {
  const rate = fc.integer({ min: 1_000, max: 20_000 }).map((value) => value as Rate);
  const limits = fc.record({ egress: rate, ingress: rate }, { requiredKeys: [] });
  const asked = fc.oneof(rate, fc.constant('none' as const));
  const requests: fc.Arbitrary<Request> = fc.record({ egress: asked, ingress: asked }, { requiredKeys: [] });
  const policies = fc
    .record({ default: limits, min: limits, max: limits, quota: limits })
    .map((parts) => {
      const labels: Record<string, string> = { [modeLabel]: 'enforce' };
      for (const [field, limit] of Object.entries(parts)) {
        for (const [direction, value] of Object.entries(limit))
          labels[`podrate.dev/${field}-${direction}`] = formatRate(value);
      }
      try {
        return parse(labels);
      } catch {
        return undefined;
      }
    })
    .filter((policy) => policy !== undefined);
  const installations = fc.record({ default: limits, max: limits });

  test('without a violation is within the bounds, and has a rate where there is a maximum or a quota', () => {
    fc.assert(
      fc.property(requests, policies, (request, policy) => {
        const { limit, violations } = applyPolicy(request, policy);
        const isGood = directions.every((direction) => {
          const value = limit[direction];
          if (value === undefined) return policy.max[direction] === undefined && policy.quota[direction] === undefined;
          return value <= (policy.max[direction] ?? value) && value >= (policy.min[direction] ?? value);
        });
        expect(violations.length === 0).toBe(isGood);
        for (const direction of directions) {
          const wanted = request[direction] ?? policy.default[direction];
          expect(limit[direction]).toBe(wanted === 'none' ? undefined : wanted);
        }
      }),
      { numRuns: 700 },
    );
  });

  test('that asks for nothing never breaks the bounds, whatever the installation says', () => {
    fc.assert(
      fc.property(policies, installations, (policy, installation) => {
        const merged = withInstallation(policy, installation);
        for (const direction of directions) {
          const [max, min] = [merged.max[direction], policy.min[direction]];
          if (max !== undefined)
            expect(max).toBe(Math.min(policy.max[direction] ?? max, installation.max[direction] ?? max));
          fc.pre(max === undefined || min === undefined || min <= max);
          const given = merged.default[direction];
          if (given !== undefined) expect(isRate(given)).toBe(true);
        }
        const codes = applyPolicy({}, merged).violations.map(({ code }) => code);
        expect(codes).not.toContain('policy/max');
        expect(codes).not.toContain('policy/min');
      }),
      { numRuns: 700 },
    );
  });

  test.each([
    [labelled({ max: '5M' }), { egress: 10e6, ingress: 10e6 }, ['maximum rate per Pod is 5M, but limit is 10M']],
    [
      labelled({ 'max-egress': '5M' }),
      { egress: 10e6, ingress: 10e6 },
      ['maximum egress rate per Pod is 5M, but limit is 10M'],
    ],
    [labelled({ min: '5M' }), { egress: 1e6 }, ['minimum egress rate per Pod is 5M, but limit is 1M']],
    [labelled({ max: '5M' }), { ingress: 'none' }, ['maximum ingress rate per Pod is 5M, but limit is none']],
    [labelled({ quota: '5M' }), {}, ['failed quota: podrate.dev/quota: must specify rate, as in rate=1M']],
    [labelled({ quota: '5M', max: '2M' }), {}, []],
  ])('of %j that asks for %j is told %j', (labels, request, messages) => {
    const merged = withInstallation(parse(labels) as Policy, nothing);
    expect(applyPolicy(request as Request, merged).violations.map(({ message }) => message)).toEqual(messages);
  });

  test('that does not fit into the quota is told in the words of ResourceQuota', () => {
    expect(exceededQuota('egress', 2_000_000, 4_000_500, 5_000_000)).toBe(
      'exceeded quota: podrate.dev/quota, requested: egress=2M, used: egress=4.0005M, limited: egress=5M',
    );
  });
});
