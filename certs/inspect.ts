import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Pair } from './issue.ts';

/**
 * Returns why an authority must be replaced: unreadable, not an authority, not its key, or less than a third of its
 * life left.
 * @returns a phrase that follows a subject; undefined if the authority can stay
 */
export function authorityFault(pair: Pair, now: Date): string | undefined {
  const certificate = readPair(pair);
  if (typeof certificate === 'string') return certificate;
  if (!certificate.ca) return 'is not a certificate authority';
  if (certificate.publicKey.asymmetricKeyType !== 'rsa') return 'has no RSA key, which signing needs';
  return validityFault(certificate, now) ?? ageFault(certificate, now);
}

/**
 * Returns why a serving certificate must be replaced: outside of its validity, not signed by the authority, a name
 * missing, or less than a third of its life left.
 * @param authority PEM
 * @returns a phrase that follows a subject; undefined if the certificate can stay
 */
export function servingFault(
  { certificate: pem }: Pair,
  authority: string,
  dnsNames: readonly string[],
  now: Date,
): string | undefined {
  const certificate = new X509Certificate(pem);
  const issuer = new X509Certificate(authority);
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
    return 'is not signed by the present authority';
  }
  const missing = dnsNames.find((name) => certificate.checkHost(name) === undefined);
  if (missing !== undefined) return `is not valid for ${missing}`;
  return validityFault(certificate, now) ?? ageFault(certificate, now);
}

/** Returns whether a certificate is within its validity. @param pem the certificate */
export function isValid(pem: string, now: Date): boolean {
  return validityFault(new X509Certificate(pem), now) === undefined;
}

function readPair(pair: Pair): X509Certificate | string {
  try {
    const certificate = new X509Certificate(pair.certificate);
    return certificate.checkPrivateKey(createPrivateKey(pair.key)) ? certificate : 'does not belong to its private key';
  } catch {
    return 'cannot be read';
  }
}

function validityFault({ validFromDate, validToDate }: X509Certificate, now: Date): string | undefined {
  if (validToDate <= now) return `expired at ${validToDate.toISOString()}`;
  return validFromDate > now ? `is not valid before ${validFromDate.toISOString()}` : undefined;
}

function ageFault({ validFromDate, validToDate }: X509Certificate, now: Date): string | undefined {
  const life = validToDate.getTime() - validFromDate.getTime();
  const left = validToDate.getTime() - now.getTime();
  return left < life / 3 ? `has less than a third of its life left (until ${validToDate.toISOString()})` : undefined;
}
