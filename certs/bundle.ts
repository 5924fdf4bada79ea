import { X509Certificate } from 'node:crypto';

/** How long a former authority stays trusted after its successor signed the serving certificate, in milliseconds. */
export const overlapMs = 86_400_000;

/** What a bundle of trusted authorities is put together from. */
export interface BundleInput {
  /** The present bundle, PEM; may be empty or unreadable. */
  readonly present: string;
  /** The authority in use, PEM. */
  readonly authority: string;
  /** The serving certificate that is published now, PEM; undefined if there is none. */
  readonly serving: string | undefined;
  readonly now: Date;
}

/**
 * Gives the bundle that API servers should trust: the authority in use and, for {@link overlapMs} after it signed the serving
 * certificate, the former ones. Webhook pods take up to some minutes to see a new Secret, so during a change of authority both
 * must be trusted; unreadable and expired entries are left out.
 */
export function trustBundle({ present, authority, serving, now }: BundleInput): string {
  const current = new X509Certificate(authority);
  const former = settled(serving, current, now) ? [] : certificates(present);
  const trusted = new Map([[current.fingerprint256, current]]);
  for (const certificate of former) {
    if (certificate.validToDate > now) trusted.set(certificate.fingerprint256, certificate);
  }
  return [...trusted.values()].map((certificate) => certificate.toString()).join('');
}

function settled(serving: string | undefined, authority: X509Certificate, now: Date): boolean {
  if (serving === undefined) return false;
  const [certificate] = certificates(serving);
  if (certificate === undefined || !certificate.verify(authority.publicKey)) return false;
  return now.getTime() - certificate.validFromDate.getTime() > overlapMs;
}

function certificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}
