/**
 * Kubernetes' own annotations for a pod's bandwidth, which CNI plugins read: quantities of bits per second from 1k to
 * 1P (k8s.io/kubernetes/pkg/util/bandwidth).
 */
import type { LabelKeys } from './keys.ts';
import { type Direction, directions, type Labels } from './limit.ts';
import { formatRate, maxRate, minRate } from './rate.ts';

/** Returns the key of a direction's annotation. */
export function bandwidthAnnotation(direction: Direction): string {
  return `kubernetes.io/${direction}-bandwidth`;
}

// Kubernetes cuts a longer one where there are many.
const longestWarning = 120;
// Longer than any quantity that somebody writes.
const maxLength = 63;
// resource.Quantity: decimal or binary suffix, or a decimal exponent.
const form = /^\+?(\d+)(?:\.(\d*))?(?:([kMGTPE])|([KMGTPE])i|[eE](\d{1,2}))?$/;
const powers: Readonly<Record<string, bigint>> = { k: 1n, K: 1n, M: 2n, G: 3n, T: 4n, P: 5n, E: 6n };

/**
 * Reads the value of such an annotation.
 * @returns whole bytes per second, rounded down; undefined for what a CNI plugin would refuse
 */
export function parseBandwidth(text: string): number | undefined {
  const match = text.length > maxLength ? null : form.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', decimal, binary, exponent = '0'] = match;
  const unit = binary === undefined ? 1000n ** (powers[decimal ?? ''] ?? 0n) : 1024n ** (powers[binary] ?? 0n);
  const scaled = BigInt(whole + fraction) * unit * 10n ** BigInt(exponent);
  const bits = scaled / 10n ** BigInt(fraction.length);
  return bits >= 1_000n && bits <= 10n ** 15n ? Number(bits / 8n) : undefined;
}

/**
 * Returns what the writer of a limit should know about such annotations beside it: they count bits, where rates count
 * bytes, and somebody else obeys them.
 */
export function bandwidthWarnings(annotations: Labels = {}): string[] {
  return directions.flatMap((direction) => {
    const key = bandwidthAnnotation(direction);
    const text = Object.hasOwn(annotations, key) ? annotations[key] : undefined;
    if (text === undefined) return [];
    const warning = (is: string) => `annotation ${key} ${is}: a CNI plugin may limit the pod as well`;
    const bytes = parseBandwidth(text);
    const told = bytes === undefined ? '' : warning(`counts bits (${text} is rate ${formatRate(bytes)})`);
    return [told === '' || told.length > longestWarning ? warning('is there too') : told];
  });
}

/**
 * Returns the rate labels that ask for what such annotations ask for; none for a direction whose annotation a CNI plugin
 * would refuse, or is above every rate. What is below the smallest rate asks for that.
 */
export function bandwidthLabels(annotations: Labels = {}, keys: LabelKeys): Readonly<Record<string, string>> {
  return Object.fromEntries(
    directions.flatMap((direction) => {
      const key = bandwidthAnnotation(direction);
      const bytes = Object.hasOwn(annotations, key) ? parseBandwidth(annotations[key] ?? '') : undefined;
      return bytes === undefined || bytes > maxRate ? [] : [[keys[direction], formatRate(Math.max(bytes, minRate))]];
    }),
  );
}
