import { X509Certificate } from 'node:crypto';

/**
 * How long a former authority stays trusted, in milliseconds. Replicas replace their serving certificates within
 * minutes.
 */
export const overlapMs = 86_400_000;

/** The authorities that API servers are to trust. */
export interface Trust {
  /** PEM: the authority that signs, then the former ones. */
  readonly bundle: string;
  /** When the former ones are no longer trusted; undefined if there are none. */
  readonly formerUntil: Date | undefined;
}

/** What {@link desiredTrust} starts from. */
export interface TrustInput {
  /** The authority that signs, PEM. */
  readonly authority: string;
  /** The trust so far. Its bundle may hold anything. */
  readonly present: Trust;
  /** Authorities whose certificates are served and trusted now, PEM. */
  readonly inUse: string;
  readonly now: Date;
}

/**
 * Returns the authorities to trust: the one that signs and, for {@link overlapMs} after it replaced them, the former
 * ones that have not expired.
 */
export function desiredTrust({ authority, present, inUse, now }: TrustInput): Trust {
  const current = new X509Certificate(authority);
  const isOver = present.formerUntil !== undefined && present.formerUntil <= now;
  const known = isOver ? [] : readBundle(present.bundle);
  const isFormer = (one: X509Certificate) => one.fingerprint256 !== current.fingerprint256 && one.validToDate > now;
  const former = unique([...known, ...readBundle(inUse)].filter(isFormer));
  const bundle = [current, ...former].map(String).join('');
  if (former.length === 0) return { bundle, formerUntil: undefined };
  const isKnown = former.every((one) => known.some(({ fingerprint256 }) => fingerprint256 === one.fingerprint256));
  const formerUntil = isKnown ? present.formerUntil : undefined;
  return { bundle, formerUntil: formerUntil ?? new Date(now.getTime() + overlapMs) };
}

/** Returns whether a bundle holds an authority. Both are PEM. */
export function isTrusted(bundle: string, authority: string): boolean {
  const { fingerprint256 } = new X509Certificate(authority);
  return readBundle(bundle).some((one) => one.fingerprint256 === fingerprint256);
}

/** Returns the certificates of a PEM text, without those that cannot be read. */
export function readBundle(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

function unique(certificates: readonly X509Certificate[]): X509Certificate[] {
  return [...new Map(certificates.map((one) => [one.fingerprint256, one])).values()];
}
