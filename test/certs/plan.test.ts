import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { trustBundle } from '../../certs/bundle.ts';
import { issueAuthority, issueServing, type Pair } from '../../certs/certificates.ts';
import { nextStep } from '../../certs/plan.ts';

const day = 86_400_000;
const now = new Date('2026-03-01T12:00:00Z');
const later = (days: number) => new Date(now.getTime() + days * day);
const dnsNames = ['podrate-webhook.podrate-system.svc'];
let authority: Pair;
let former: Pair;
let serving: Pair;

beforeAll(async () => {
  authority = await issueAuthority({ commonName: 'new', now, days: 3650 });
  former = await issueAuthority({ commonName: 'old', now: later(-3000), days: 3650 });
  serving = await issueServing(authority, { dnsNames, now, days: 300 });
});

const fingerprints = (bundle: string) =>
  (bundle.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
    (pem) => new X509Certificate(pem).fingerprint256,
  );
const fingerprint = ({ certificate }: Pair) => new X509Certificate(certificate).fingerprint256;

describe('the plan', () => {
  test('goes from nothing to everything: authority, trust, serving certificate', () => {
    expect(nextStep({ authority: undefined, serving: undefined, bundles: [''] }, dnsNames, now)?.kind).toBe(
      'issue-authority',
    );
    const trust = nextStep({ authority, serving: undefined, bundles: [''] }, dnsNames, now);
    expect(trust).toMatchObject({ kind: 'publish-bundle', bundle: authority.certificate });
    const bundles = [authority.certificate];
    expect(nextStep({ authority, serving: undefined, bundles }, dnsNames, now)?.kind).toBe('issue-serving');
    expect(nextStep({ authority, serving, bundles }, dnsNames, now)).toBeUndefined();
  });

  test.each([
    ['a third of its life is left', () => dnsNames, 199, undefined],
    ['less than a third of its life is left', () => dnsNames, 201, 'has less than a third of its life left'],
    ['it expired', () => dnsNames, 301, 'expired at'],
    ['the clock is before it', () => dnsNames, -1, 'is not valid before'],
    ['a name is missing', () => [...dnsNames, 'other.svc'], 1, 'is not valid for other.svc'],
  ])('renews the serving certificate as it should when %s', (_, names, days, reason) => {
    // The authority is judged by the same clock; the one before its own beginning is replaced too, so look at the reason only.
    const step = nextStep({ authority, serving, bundles: [authority.certificate] }, names(), later(days));
    if (reason === undefined) expect(step).toBeUndefined();
    else expect(step?.reason).toContain(reason);
  });

  test('replaces a serving certificate of another authority, of another key, or that is no certificate', () => {
    const bundles = [authority.certificate];
    const reason = (pair: Pair) => nextStep({ authority, serving: pair, bundles }, dnsNames, now)?.reason;
    expect(reason(former)).toContain('is not signed by');
    expect(reason({ ...serving, key: authority.key })).toContain('does not belong to its private key');
    expect(reason({ certificate: '', key: '' })).toContain('cannot be read');
  });

  test('replaces an authority that is none, is unreadable, or is old', () => {
    const reason = (pair: Pair, at = now) =>
      nextStep({ authority: pair, serving, bundles: [''] }, dnsNames, at)?.reason;
    expect(reason(serving)).toContain('is not a certificate authority');
    expect(reason({ ...authority, key: 'no key' })).toContain('cannot be read');
    expect(reason(authority, later(3000))).toContain('less than a third');
  });

  test('trusts a new authority together with the former one before it signs anything', () => {
    const step = nextStep({ authority, serving: former, bundles: [former.certificate] }, dnsNames, now);
    if (step?.kind !== 'publish-bundle') throw new Error(`unexpected ${step?.kind}`);
    expect(fingerprints(step.bundle)).toEqual([fingerprint(authority), fingerprint(former)]);
  });
});

describe('the trusted bundle', () => {
  const input = () => ({ authority: authority.certificate, serving: serving.certificate });

  test('keeps the former authority for a day after the new one signed the serving certificate, and then drops it', () => {
    const present = trustBundle({ ...input(), present: former.certificate, now });
    expect(fingerprints(present)).toHaveLength(2);
    expect(trustBundle({ ...input(), present, now: later(0.9) })).toBe(present);
    expect(trustBundle({ ...input(), present, now: later(1.1) })).toBe(authority.certificate);
  });

  test('drops what is expired, repeated or no certificate', () => {
    const rubbish = '-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n';
    const present = [former.certificate, rubbish, former.certificate, authority.certificate].join('\n');
    expect(fingerprints(trustBundle({ ...input(), present, now }))).toEqual([
      fingerprint(authority),
      fingerprint(former),
    ]);
    const old = { present: former.certificate, authority: authority.certificate, serving: undefined };
    expect(fingerprints(trustBundle({ ...old, now: later(700) }))).toEqual([fingerprint(authority)]);
  });
});
