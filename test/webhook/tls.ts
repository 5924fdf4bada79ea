import { beforeAll } from 'vitest';
import { type CertificateSet, makeCertificates } from '../../certs/make.ts';
import type { ServingPair } from '../../webhook/tls/certificate.ts';

/** Makes a set of certificates for localhost; `previous` keeps its authority. */
export function certificates(previous?: CertificateSet): Promise<CertificateSet> {
  return makeCertificates({
    authority: previous?.authority,
    serving: undefined,
    dnsNames: ['localhost', 'podrate-webhook.podrate-system.svc'],
    authorityDays: 10,
    servingDays: 10,
    renew: true,
    now: new Date(),
  });
}

/** The serving pair of a set, as the server takes it. */
export function servingPair({ serving }: CertificateSet): ServingPair {
  return { cert: serving.certificate, key: serving.key, expires: new Date(), serial: '' };
}

/** Makes two sets of one authority before the tests of a file: making keys takes a while. */
export function useCertificates(): () => { first: CertificateSet; second: CertificateSet } {
  let made: { first: CertificateSet; second: CertificateSet } | undefined;
  beforeAll(async () => {
    const first = await certificates();
    made = { first, second: await certificates(first) };
  }, 60_000);
  return () => {
    if (made === undefined) throw new Error('the certificates are made in beforeAll');
    return made;
  };
}
