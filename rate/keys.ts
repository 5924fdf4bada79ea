import { quote } from './quote.ts';

/** The annotation that carries the stamp: the webhook's decision, and all that the node agent reads. */
export const stampAnnotation = 'podrate.dev/limit';

/** The annotation with which users ask for a code point (DSCP) on what the pod sends. */
export const dscpAnnotation = 'podrate.dev/dscp';

/**
 * The label of every stamped pod, so that a node agent can select its pods on the server. Its value is {@link
 * shapedValue}.
 */
export const shapedLabel = 'podrate.dev/shaped';

/** The value of {@link shapedLabel}. */
export const shapedValue = 'true';

/** The value of {@link shapedLabel} that asks admission to decide as about a new pod; agents take it for no stamp. */
export const wantedValue = 'wanted';

/** The pod condition that says whether the limit is in force. */
export const limitedCondition = 'podrate.dev/Limited';

/** The label key that users write unless the installation chose another one. */
export const defaultLabelKey = 'rate';

/** The keys of the three labels that users write. */
export interface LabelKeys {
  /** Both directions, each with the whole rate. */
  readonly both: string;
  /** What the pod sends; wins over `both`. */
  readonly egress: string;
  /** What the pod receives; wins over `both`. */
  readonly ingress: string;
}

/** A configured label key that cannot be used. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
  readonly code = 'keys/label-key';
  /** The refused key. */
  readonly value: string;

  constructor(value: string, reason: string) {
    super(
      `The label key ${quote(value)} ${reason}; use a key such as "${defaultLabelKey}" or "example.com/${defaultLabelKey}".`,
    );
    this.value = value;
  }
}

// A prefix of 253 characters, a slash and a name of 63.
const maxKeyLength = 317;
const namePattern = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;
const prefixPattern = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/**
 * Returns the three label keys from the installation's base key: `rate` gives `rate`, `rate-egress` and `rate-ingress`.
 * @throws KeyError unless all three are legal label keys and outside of podrate's own prefix, which only the webhook
 * writes.
 */
export function labelKeys(base: string): LabelKeys {
  const keys = { both: base, egress: `${base}-egress`, ingress: `${base}-ingress` };
  if (base.length > maxKeyLength) throw new KeyError(base, 'is too long');
  const slash = base.indexOf('/');
  const prefix = slash === -1 ? undefined : base.slice(0, slash);
  if (prefix !== undefined && (prefix.length > 253 || !prefixPattern.test(prefix))) {
    throw new KeyError(base, 'has a prefix that is no DNS name');
  }
  if (prefix === 'podrate.dev') throw new KeyError(base, 'has the prefix that podrate keeps for itself');
  if (!namePattern.test(base.slice(slash + 1))) throw new KeyError(base, 'is not a legal Kubernetes label key');
  if (keys.ingress.length - slash - 1 > 63)
    throw new KeyError(base, 'is too long: with "-ingress" its name has more than 63 characters');
  return keys;
}
