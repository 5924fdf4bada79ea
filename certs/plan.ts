import { authorityFault, isValid, servingFault } from './inspect.ts';
import type { Pair } from './issue.ts';
import { desiredTrust, isTrusted, type Trust } from './trust.ts';

/** What the Secret holds: the authority that the replicas share, and what API servers are to trust. */
export interface SharedAuthority {
  readonly pair: Pair;
  readonly trust: Trust;
}

/** The certificate that this replica serves. */
export interface Serving {
  readonly pair: Pair;
  /** The authority that signed it, PEM. */
  readonly authority: string;
}

/** Everything that the next step depends on. */
export interface Observed {
  /** Undefined if there is no Secret. */
  readonly shared: SharedAuthority | undefined;
  /** Undefined before the first certificate. */
  readonly serving: Serving | undefined;
  /** The caBundle of each webhook of both configurations, PEM. */
  readonly bundles: readonly string[];
  /**
   * Since when all webhooks have had the shared bundle, as far as this replica saw; undefined if they do not have it.
   */
  readonly trustedSince: Date | undefined;
}

/** What the certificates must fulfil. */
export interface Requirements {
  readonly dnsNames: readonly string[];
  /** How long API servers may take to notice a changed caBundle, in milliseconds. */
  readonly settleMs: number;
  readonly now: Date;
}

/** The next thing to do, with the reason to log. */
export type Step =
  | { readonly kind: 'issue-authority'; readonly reason: string; readonly inUse: string }
  | { readonly kind: 'change-trust'; readonly trust: Trust }
  | { readonly kind: 'publish-bundle'; readonly bundle: string }
  | { readonly kind: 'issue-serving'; readonly reason: string };

/**
 * Returns the one next step. The order keeps every admission working: API servers trust an authority before its
 * certificates are served, and trust a former one until no replica serves its certificates.
 * @returns undefined when nothing is left to do
 */
export function nextStep(
  { shared, serving, bundles, trustedSince }: Observed,
  required: Requirements,
): Step | undefined {
  const { dnsNames, settleMs, now } = required;
  const fault = shared === undefined ? 'does not exist' : authorityFault(shared.pair, now);
  if (shared === undefined || fault !== undefined) {
    // The list of former authorities is lost with the Secret, and other replicas may use any of those that are trusted
    // now.
    return { kind: 'issue-authority', reason: `the authority ${fault}`, inUse: bundles.join('') };
  }

  const authority = shared.pair.certificate;
  if (serving === undefined) return { kind: 'issue-serving', reason: 'there is none' };

  const isAccepted = bundles.some((bundle) => isTrusted(bundle, serving.authority));
  const inUse = isAccepted ? serving.authority : '';
  const trust = desiredTrust({ authority, present: shared.trust, inUse, now });
  if (trust.bundle !== shared.trust.bundle || trust.formerUntil?.getTime() !== shared.trust.formerUntil?.getTime()) {
    return { kind: 'change-trust', trust };
  }
  const { bundle } = trust;
  if (bundles.some((present) => present !== bundle)) return { kind: 'publish-bundle', bundle };

  const servingReason = servingFault(serving.pair, authority, dnsNames, now);
  if (servingReason === undefined) return undefined;
  const isSettled = trustedSince !== undefined && now.getTime() - trustedSince.getTime() >= settleMs;
  const canWait = isValid(serving.pair.certificate, now) && isTrusted(bundle, serving.authority);
  if (canWait && !isSettled) return undefined;
  return { kind: 'issue-serving', reason: `the present one ${servingReason}` };
}
