import { issueAuthority, issueServing, type Pair } from './certificates.ts';
import { authorityFault, servingFault } from './inspect.ts';

/** What a set of certificates is made from. */
export interface MakeOptions {
  /** What is there already and is kept where it is good. */
  readonly authority: Pair | undefined;
  readonly serving: Pair | undefined;
  readonly dnsNames: readonly string[];
  /** Lives in days. */
  readonly authorityDays: number;
  readonly servingDays: number;
  /** Makes a new serving certificate even if the present one is good. */
  readonly renew: boolean;
  readonly now: Date;
}

/** An authority and a serving certificate that it signed. */
export interface CertificateSet {
  readonly authority: Pair;
  readonly serving: Pair;
}

/** Makes a working set of certificates outside of a cluster. A pair that is good is given back as it is. */
export async function makeCertificates(options: MakeOptions): Promise<CertificateSet> {
  const { dnsNames, authorityDays, servingDays, renew, now } = options;
  const keep = options.authority !== undefined && authorityFault(options.authority, now) === undefined;
  const authority =
    keep && options.authority !== undefined
      ? options.authority
      : await issueAuthority({ commonName: 'podrate webhook authority', now, days: authorityDays });
  const { serving } = options;
  if (!renew && serving !== undefined && servingFault(serving, authority, dnsNames, now) === undefined) {
    return { authority, serving };
  }
  return { authority, serving: await issueServing(authority, { dnsNames, now, days: servingDays }) };
}
