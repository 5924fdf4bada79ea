import { type Dscp, isDscp, maxDscp } from './dscp.ts';
import { shapedLabel, shapedValue, stampAnnotation } from './keys.ts';
import { directions, type Limit } from './limit.ts';
import { quote } from './quote.ts';
import { isRate, maxRate, minRate, type Rate } from './rate.ts';

/** Why a stamp cannot be used; a stable name, for programs. */
export type StampErrorCode =
  | 'stamp/missing'
  | 'stamp/too-long'
  | 'stamp/not-json'
  | 'stamp/shape'
  | 'stamp/rate'
  | 'stamp/dscp';

/** A stamp that the webhook would not have written. */
export class StampError extends Error {
  override readonly name = 'StampError';
  readonly code: StampErrorCode;
  /** The refused text; undefined where a shaped pod has no stamp at all. */
  readonly value: string | undefined;

  constructor(code: StampErrorCode, value: string | undefined, reason: string) {
    const found = value === undefined ? '' : ` ${quote(value, 200)}`;
    super(
      `annotation ${stampAnnotation}${found} ${reason}; change the pod's rate label and the webhook writes it again`,
    );
    this.code = code;
    this.value = value;
  }
}

// The webhook writes 54 characters at most.
const maxLength = 200;

/** What {@link stampedLimit} reads of a pod's metadata. */
export interface StampedMetadata {
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** What a stamp says: limits, and the code point that what the pod sends is marked with. */
export interface Stamped extends Limit {
  readonly dscp?: Dscp;
}

/**
 * Returns the stamp: JSON with the bytes per second of each limited direction, such as
 * `{"egress":1000000,"ingress":1000000}`, and `"dscp":46` behind them where packets are marked. Equal stamps give equal
 * texts.
 */
export function formatStamp({ egress, ingress, dscp }: Stamped): string {
  return JSON.stringify({ egress, ingress, dscp });
}

/**
 * Parses a stamp and trusts nothing: it accepts only a JSON object with at least one direction or a code point, no
 * other key, and values within the bounds. An unknown key is refused because it would be a promise that the reader
 * cannot keep.
 * @throws StampError
 */
export function parseStamp(text: string): Stamped {
  if (text.length > maxLength) throw new StampError('stamp/too-long', text, `is longer than ${maxLength} characters`);
  const stamp = readJson(text);
  if (typeof stamp !== 'object' || stamp === null || Array.isArray(stamp)) {
    throw new StampError('stamp/shape', text, 'is not a JSON object');
  }
  const entries = Object.entries(stamp);
  if (entries.length === 0) throw new StampError('stamp/shape', text, 'limits no direction and marks nothing');
  const stamped: { egress?: Rate; ingress?: Rate; dscp?: Dscp } = {};
  for (const [key, value] of entries) {
    if (key === 'dscp') {
      if (!isDscp(value))
        throw new StampError('stamp/dscp', text, `has a dscp that is not a whole number from 0 to ${maxDscp}`);
      stamped.dscp = value;
      continue;
    }
    const direction = directions.find((known) => known === key);
    if (direction === undefined) throw new StampError('stamp/shape', text, `has the unknown key ${quote(key)}`);
    if (!isRate(value)) {
      throw new StampError(
        'stamp/rate',
        text,
        `has a ${direction} that is not a whole number from ${minRate} to ${maxRate}`,
      );
    }
    stamped[direction] = value;
  }
  return stamped;
}

/**
 * Returns the limit that is stamped on a pod.
 * @returns undefined if the pod is not marked as shaped
 * @throws StampError if it is marked and its stamp is missing or not as the webhook writes it
 */
export function stampedLimit(metadata: StampedMetadata | undefined): Stamped | undefined {
  if (metadata?.labels?.[shapedLabel] !== shapedValue) return undefined;
  const text = metadata.annotations?.[stampAnnotation];
  if (text === undefined) throw new StampError('stamp/missing', undefined, 'is missing');
  return parseStamp(text);
}

/** Reads a pod's stamp as {@link stampedLimit} does. @returns undefined also for one that the webhook did not write */
export function readStamp(metadata: StampedMetadata): Stamped | undefined {
  try {
    return stampedLimit(metadata);
  } catch (error) {
    if (error instanceof StampError) return undefined;
    throw error;
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new StampError('stamp/not-json', text, 'is not JSON');
  }
}
