import type { LabelKeys } from './keys.ts';
import { formatRate, parseRate, type Rate, RateError } from './rate.ts';

/** A direction of traffic, seen from the pod: it sends egress and receives ingress. */
export type Direction = 'egress' | 'ingress';

/** Both directions. */
export const directions: readonly Direction[] = ['egress', 'ingress'];

/** The limits of one pod in bytes per second. A direction that is absent has no limit. */
export interface Limit {
  readonly egress?: Rate;
  readonly ingress?: Rate;
}

/** Tells whether there is a limit in any direction. */
export function isLimited(limit: Limit): boolean {
  return directions.some((direction) => limit[direction] !== undefined);
}

/** The value that means no limit. */
export const noLimit = 'none';

/**
 * A rate label with a value that cannot be used. The message is one sentence that names the label and quotes the value.
 */
export class LabelError extends Error {
  override readonly name = 'LabelError';
  /** The code of the underlying {@link RateError}. */
  readonly code: RateError['code'];
  /** The key of the label. */
  readonly key: string;
  /** The refused value. */
  readonly value: string;

  constructor(key: string, cause: RateError) {
    super(`label ${key}: ${cause.message}`, { cause });
    this.code = cause.code;
    this.key = key;
    this.value = cause.value;
  }
}

/** The labels of an object, as Kubernetes has them. */
export type Labels = Readonly<Record<string, string>> | undefined;

/** What rate labels ask for in each direction that they name: a rate in bytes per second, or no limit. */
export interface Request {
  readonly egress?: Rate | typeof noLimit;
  readonly ingress?: Rate | typeof noLimit;
}

/**
 * Reads what a pod's labels ask for. Every rate label is checked, also one that another label overrules.
 * @throws LabelError for the first label that is no rate
 */
export function requestedRates(labels: Labels, keys: LabelKeys): Request {
  const both = readLabel(labels, keys.both);
  const request: { -readonly [direction in Direction]?: Rate | typeof noLimit } = {};
  for (const direction of directions) {
    const asked = readLabel(labels, keys[direction]) ?? both;
    if (asked !== undefined) request[direction] = asked;
  }
  return request;
}

/**
 * Reads the limit that a pod's labels alone ask for.
 * @returns undefined if there is no rate label; an empty limit if the labels say `none` in every direction they name
 * @throws LabelError for the first label that is no rate
 */
export function requestedLimit(labels: Labels, keys: LabelKeys): Limit | undefined {
  const request = requestedRates(labels, keys);
  const limit: { egress?: Rate; ingress?: Rate } = {};
  for (const direction of directions) {
    const asked = request[direction];
    if (asked !== undefined && asked !== noLimit) limit[direction] = asked;
  }
  return Object.keys(request).length > 0 ? limit : undefined;
}

/**
 * Gives the canonical form of every rate label that is there: key to value, also where the value is canonical already.
 * @throws LabelError for the first label that is no rate
 */
export function canonicalLabels(labels: Labels, keys: LabelKeys): ReadonlyMap<string, string> {
  const canonical = new Map<string, string>();
  for (const key of [keys.both, keys.egress, keys.ingress]) {
    const request = readLabel(labels, key);
    if (request !== undefined) canonical.set(key, request === noLimit ? noLimit : formatRate(request));
  }
  return canonical;
}

function readLabel(labels: Labels, key: string): Rate | typeof noLimit | undefined {
  if (labels === undefined || !Object.hasOwn(labels, key)) return undefined;
  const value = labels[key] ?? '';
  if (value === noLimit) return noLimit;
  try {
    return parseRate(value);
  } catch (error) {
    if (error instanceof RateError) throw new LabelError(key, error);
    throw error;
  }
}
