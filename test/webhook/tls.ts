import { beforeAll } from 'vitest';
import type { ServingPair } from '../../webhook/tls/certificate.ts';
import { type CertificateSet, issueSet } from '../certs/pairs.ts';

/** Issues a set of certificates for localhost; `previous` keeps its authority. */
export function certificates(previous?: CertificateSet): Promise<CertificateSet> {
  return issueSet(['localhost', 'podrate-webhook.podrate-system.svc'], previous?.authority);
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
