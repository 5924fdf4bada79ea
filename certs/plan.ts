import { trustBundle } from './bundle.ts';
import type { Pair } from './certificates.ts';
import { authorityFault, servingFault } from './inspect.ts';

/** What is in the cluster now. */
export interface Installed {
  readonly authority: Pair | undefined;
  readonly serving: Pair | undefined;
  /** The bundles that the API server trusts, PEM, one per webhook of either kind; empty strings where nothing is set. */
  readonly bundles: readonly string[];
}

/** The next thing to do, with the reason to say. */
export type Step =
  | { readonly kind: 'issue-authority'; readonly reason: string }
  | { readonly kind: 'publish-bundle'; readonly reason: string; readonly bundle: string }
  | { readonly kind: 'issue-serving'; readonly reason: string };

/**
 * Finds the one next step towards a working set of certificates. The order keeps every admission working: an authority is trusted
 * before it signs what is served, and a former one is forgotten only a day later.
 * @returns undefined when nothing is left to do
 */
export function nextStep(installed: Installed, dnsNames: readonly string[], now: Date): Step | undefined {
  const { authority, serving, bundles } = installed;
  if (authority === undefined) return { kind: 'issue-authority', reason: 'there is no certificate authority' };
  const fault = authorityFault(authority, now);
  if (fault !== undefined) return { kind: 'issue-authority', reason: `the certificate authority ${fault}` };

  const bundle = trustBundle({
    present: bundles.join(''),
    authority: authority.certificate,
    serving: serving?.certificate,
    now,
  });
  if (bundles.some((present) => present !== bundle)) {
    return { kind: 'publish-bundle', reason: 'the trusted bundle differs', bundle };
  }

  if (serving === undefined) return { kind: 'issue-serving', reason: 'there is no serving certificate' };
  const servingReason = servingFault(serving, authority, dnsNames, now);
  return servingReason === undefined
    ? undefined
    : { kind: 'issue-serving', reason: `the serving certificate ${servingReason}` };
}
