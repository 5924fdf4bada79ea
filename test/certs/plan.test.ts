import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { issueAuthority, issueServing, type Pair } from '../../certs/issue.ts';
import { nextStep, type Observed } from '../../certs/plan.ts';
import { desiredTrust, overlapMs, readBundle } from '../../certs/trust.ts';

const day = 86_400_000;
const now = new Date('2026-03-01T12:00:00Z');
const later = (days: number) => new Date(now.getTime() + days * day);
const dnsNames = ['podrate-webhook.podrate-system.svc'];
const settleMs = 30_000;
let authority: Pair;
let former: Pair;
let serving: Pair;
let formerServing: Pair;

beforeAll(async () => {
  authority = await issueAuthority({ commonName: 'new', now, days: 365 });
  former = await issueAuthority({ commonName: 'old', now: later(-300), days: 365 });
  serving = await issueServing(authority, { dnsNames, now, days: 90 });
  formerServing = await issueServing(former, { dnsNames, now, days: 90 });
});

/** A replica for which nothing is left to do. */
const settled = (): Observed => ({
  shared: { pair: authority, trust: { bundle: authority.certificate, formerUntil: undefined } },
  serving: { pair: serving, authority: authority.certificate },
  bundles: [authority.certificate, authority.certificate],
  trustedSince: later(-1),
});
/** A replica that serves a certificate of the former authority, while the new one is trusted already. */
const rotating = (trustedSince: Date | undefined): Observed => {
  const bundle = authority.certificate + former.certificate;
  return {
    shared: { pair: authority, trust: { bundle, formerUntil: later(0.5) } },
    serving: { pair: formerServing, authority: former.certificate },
    bundles: [bundle, bundle],
    trustedSince,
  };
};
const step = (changes: Partial<Observed>, at = now, names = dnsNames) =>
  nextStep({ ...settled(), ...changes }, { dnsNames: names, settleMs, now: at });
const fingerprints = (bundle: string) => readBundle(bundle).map(({ fingerprint256 }) => fingerprint256);
const fingerprint = ({ certificate }: Pair) => new X509Certificate(certificate).fingerprint256;

describe('the next step', () => {
  test('leads from nothing to everything: authority, serving certificate, trust', () => {
    const nothing = { shared: undefined, serving: undefined, bundles: ['', ''], trustedSince: undefined };
    expect(step(nothing)).toMatchObject({ kind: 'issue-authority', reason: 'the authority does not exist' });
    expect(step({ ...nothing, shared: settled().shared })).toMatchObject({ kind: 'issue-serving' });
    const bundle = authority.certificate;
    expect(step({ bundles: ['', ''], trustedSince: undefined })).toEqual({ kind: 'publish-bundle', bundle });
    expect(step({})).toBeUndefined();
  });

  test.each([
    ['a third of its life is left', () => dnsNames, 59, undefined],
    ['less than a third of its life is left', () => dnsNames, 61, 'has less than a third of its life left'],
    ['it expired', () => dnsNames, 91, 'expired at'],
    ['a name is missing', () => [...dnsNames, 'other.svc'], 1, 'is not valid for other.svc'],
  ])('renews the serving certificate as it should when %s', (_, names, days, reason) => {
    const found = step({}, later(days), names());
    if (reason === undefined) expect(found).toBeUndefined();
    else expect(found).toMatchObject({ kind: 'issue-serving', reason: expect.stringContaining(reason) });
  });

  test.each<[string, () => Partial<Pair>, number, string]>([
    ['empty', () => ({ certificate: '', key: '' }), 0, 'cannot be read'],
    ['half-written', () => ({ key: authority.key.slice(0, 200) }), 0, 'cannot be read'],
    ['of two pairs', () => ({ key: former.key }), 0, 'does not belong to its private key'],
    ['no authority', () => serving, 0, 'is not a certificate authority'],
    ['old', () => ({}), 300, 'has less than a third of its life left'],
    ['expired', () => ({}), 366, 'expired at'],
    ['from the future', () => ({}), -1, 'is not valid before'],
  ])('replaces an authority that is %s', (_, pair, days, reason) => {
    const shared = { pair: { ...authority, ...pair() }, trust: { bundle: '', formerUntil: undefined } };
    const found = step({ shared }, later(days));
    expect(found).toMatchObject({ kind: 'issue-authority', reason: expect.stringContaining(reason) });
  });

  test('accepts what a replica issued whose clock is ten minutes ahead or behind', () => {
    for (const minutes of [-10, 10]) expect(step({}, later(minutes / 1440))).toBeUndefined();
  });

  test('restores a caBundle that is empty, foreign, or old in only one webhook', () => {
    const bundle = authority.certificate;
    for (const wrong of ['', former.certificate, 'no PEM', former.certificate + bundle]) {
      expect(step({ bundles: [bundle, wrong] })).toEqual({ kind: 'publish-bundle', bundle });
    }
  });
});

describe('a new authority', () => {
  test('signs nothing before all API servers had the time to trust it', () => {
    expect(step(rotating(undefined))).toBeUndefined();
    expect(step(rotating(new Date(now.getTime() - settleMs + 1)))).toBeUndefined();
    expect(step(rotating(new Date(now.getTime() - settleMs)))).toMatchObject({
      kind: 'issue-serving',
      reason: 'the present one is not signed by the present authority',
    });
  });

  test('signs at once where the certificate in use is not trusted, or expired', () => {
    const bundle = authority.certificate;
    const shared = { pair: authority, trust: { bundle, formerUntil: undefined } };
    const away = { ...rotating(now), shared, bundles: [bundle, bundle] };
    expect(step(away)).toMatchObject({ kind: 'issue-serving' });
    expect(step({ ...rotating(now), trustedSince: later(91) }, later(91))).toBeDefined();
  });

  test('is trusted together with the one whose certificates are still served', () => {
    const shared = { pair: authority, trust: { bundle: authority.certificate, formerUntil: undefined } };
    const found = step({ ...rotating(undefined), shared, bundles: [former.certificate] });
    if (found?.kind !== 'change-trust') throw new Error(`unexpected ${found?.kind}`);
    expect(fingerprints(found.trust.bundle)).toEqual([authority, former].map(fingerprint));
    expect(found.trust.formerUntil).toEqual(new Date(now.getTime() + overlapMs));
  });

  test('is trusted alone when the time of the former one is over', () => {
    const { shared, bundles } = rotating(now);
    const trust = { bundle: authority.certificate, formerUntil: undefined };
    expect(step({ shared, bundles }, later(0.4))).toBeUndefined();
    expect(step({ shared, bundles }, later(0.5))).toEqual({ kind: 'change-trust', trust });
  });
});

describe('the trusted authorities', () => {
  const input = () => ({ authority: authority.certificate, inUse: '', now });

  test('leave out what is expired, repeated or not a certificate', () => {
    const garbage = '-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n';
    const bundle = [former.certificate, garbage, former.certificate, authority.certificate, 'text'].join('\n');
    const present = { bundle, formerUntil: later(1000) };
    expect(fingerprints(desiredTrust({ ...input(), present }).bundle)).toEqual([authority, former].map(fingerprint));
    expect(desiredTrust({ ...input(), present, now: later(70) }).bundle).toBe(authority.certificate);
  });

  test('are found in linear time in a bundle of any content', () => {
    for (const text of ['-----BEGIN CERTIFICATE-----', '-', 'A', '-----BEGIN CERTIFICATE-----A', '\n']) {
      const bundle = text.repeat(1_000_000 / text.length);
      const start = performance.now();
      expect(readBundle(bundle)).toEqual([]);
      expect(performance.now() - start).toBeLessThan(500);
    }
  });
});
