/**
 * The written form of a rate, and what it is worth exactly.
 *
 *     rate   = number unit
 *     number = digits [ "." digits ]
 *     unit   = ( "K" | "M" | "G" | "Ki" | "Mi" | "Gi" ) [ "B" ]     bytes per second, powers of 1000 and of 1024
 *            | "Kbit" | "Mbit" | "Gbit"                             bits per second, powers of 1000, any letter case
 *
 * Letter case counts where it carries meaning elsewhere: `m` is milli and `b` is bit in common use, so `1m`, `1k` and
 * `1Mb` are not read as what they probably mean; the refusal asks. `bit` written out leaves no doubt, so its case is
 * free.
 */
const bytes = /^(\d+)(?:\.(\d+))?([KMG])(i?)B?$/;
const bits = /^(\d+)(?:\.(\d+))?([KMG])bit$/i;

/** The longest text that can be a Kubernetes label value, in characters. */
export const maxTextLength = 63;

/** A non-negative rational number of bytes per second: `numerator / denominator`. */
export interface Quantity {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

const exponents: Record<string, bigint> = { K: 1n, M: 2n, G: 3n };

/**
 * Reads a rate exactly, without any bounds.
 * @returns the quantity in bytes per second, or undefined if the text is not in the grammar.
 */
export function readQuantity(text: string): Quantity | undefined {
  if (text.length > maxTextLength) return undefined;
  const match = bytes.exec(text) ?? bits.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', prefix = '', binary] = match;
  const base = binary === 'i' ? 1024n : 1000n;
  const perByte = binary === undefined ? 8n : 1n;
  return {
    numerator: BigInt(whole + fraction) * base ** (exponents[prefix.toUpperCase()] ?? 0n),
    denominator: 10n ** BigInt(fraction.length) * perByte,
  };
}
