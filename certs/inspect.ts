import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Pair } from './certificates.ts';

/**
 * Says why an authority must be replaced: unreadable, not an authority, not its key, or less than a third of its life left.
 * @returns a phrase, or undefined if it can stay
 */
export function authorityFault(pair: Pair, now: Date): string | undefined {
  const certificate = readPair(pair);
  if (typeof certificate === 'string') return certificate;
  if (!certificate.ca) return 'is not a certificate authority';
  if (certificate.publicKey.asymmetricKeyType !== 'rsa') return 'has no RSA key, which signing needs';
  return ageFault(certificate, now);
}

/**
 * Says why a serving certificate must be replaced: unreadable, not its key, not signed by the authority, a name missing, or less
 * than a third of its life left.
 * @returns a phrase, or undefined if it can stay
 */
export function servingFault(pair: Pair, authority: Pair, dnsNames: readonly string[], now: Date): string | undefined {
  const certificate = readPair(pair);
  if (typeof certificate === 'string') return certificate;
  const issuer = new X509Certificate(authority.certificate);
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
    return 'is not signed by the certificate authority';
  }
  const missing = dnsNames.find((name) => certificate.checkHost(name) === undefined);
  if (missing !== undefined) return `is not valid for ${missing}`;
  return ageFault(certificate, now);
}

function readPair(pair: Pair): X509Certificate | string {
  try {
    const certificate = new X509Certificate(pair.certificate);
    return certificate.checkPrivateKey(createPrivateKey(pair.key)) ? certificate : 'does not belong to its private key';
  } catch {
    return 'cannot be read';
  }
}

function ageFault({ validFromDate, validToDate }: X509Certificate, now: Date): string | undefined {
  const life = validToDate.getTime() - validFromDate.getTime();
  const left = validToDate.getTime() - now.getTime();
  if (left <= 0) return `expired at ${validToDate.toISOString()}`;
  if (validFromDate.getTime() > now.getTime()) return `is not valid before ${validFromDate.toISOString()}`;
  return left < life / 3 ? `has less than a third of its life left (until ${validToDate.toISOString()})` : undefined;
}
