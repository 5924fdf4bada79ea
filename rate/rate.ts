import { type Quantity, readQuantity } from './grammar.ts';
import { quote } from './quote.ts';
import { explainForm } from './refusal.ts';

declare const brand: unique symbol;

/** A limit in whole bytes per second, between {@link minRate} and {@link maxRate}. */
export type Rate = number & { readonly [brand]: 'bytes per second' };

/** The smallest rate: 1 kB/s. Below it one full-sized packet takes more than 1.5 seconds. */
export const minRate = 1_000 as Rate;

/** The largest rate: 12.5 GB/s, which is 100 Gbit/s. */
export const maxRate = 12_500_000_000 as Rate;

/** The largest sum of rates that can be written, in bytes per second: far more than a cluster has. */
export const maxTotal = 1_000_000_000_000_000;

/** Why a text is not a rate; a stable name, for programs. */
export type RateErrorCode =
  | 'rate/empty'
  | 'rate/too-long'
  | 'rate/space'
  | 'rate/sign'
  | 'rate/exponent'
  | 'rate/number'
  | 'rate/no-unit'
  | 'rate/unit'
  | 'rate/letter-case'
  | 'rate/ambiguous'
  | 'rate/not-whole'
  | 'rate/zero'
  | 'rate/too-small'
  | 'rate/too-large';

/** A text that is not a rate. The message is one sentence that quotes the text, says why, and shows what to write. */
export class RateError extends Error {
  override readonly name = 'RateError';
  readonly code: RateErrorCode;
  /** The refused text, whole. */
  readonly value: string;

  constructor(code: RateErrorCode, value: string, explanation: string) {
    super(`${quote(value)} ${explanation}`);
    this.code = code;
    this.value = value;
  }
}

/** Tells whether a number is a {@link Rate}: whole and within the bounds. */
export function isRate(bytesPerSecond: unknown): bytesPerSecond is Rate {
  return (
    typeof bytesPerSecond === 'number' &&
    Number.isInteger(bytesPerSecond) &&
    bytesPerSecond >= minRate &&
    bytesPerSecond <= maxRate
  );
}

/**
 * Reads a rate such as `1M`, `1.5Mi`, `500KB` or `8Mbit`, by exact arithmetic (the grammar is in grammar.ts).
 * @throws RateError if the text is not in the grammar, not a whole number of bytes per second, or out of bounds.
 */
export function parseRate(text: string): Rate {
  return parseUpTo(text, maxRate) as Rate;
}

/**
 * Reads a sum of rates, such as a quota: the same form, but up to {@link maxTotal} bytes per second.
 * @throws RateError
 */
export function parseTotal(text: string): number {
  return parseUpTo(text, maxTotal);
}

function parseUpTo(text: string, largest: number): number {
  const quantity = readQuantity(text);
  if (quantity === undefined) {
    const { code, explanation } = explainForm(text, accepts);
    throw new RateError(code, text, explanation);
  }
  return exact(text, quantity, largest);
}

/**
 * Writes a rate in its canonical form: with the largest unit that is not larger than the rate, as an exact decimal, in
 * powers of 1000 unless powers of 1024 are shorter: `1M`, `1.5M`, `999.999K`, `1Mi`. It is a legal label value and
 * parses to the same rate.
 * @param rate a rate, or a sum of rates
 */
export function formatRate(rate: number): string {
  const decimal = inUnits(rate, 1000, ['K', 'M', 'G']);
  const binary = rate < 1024 ? decimal : inUnits(rate, 1024, ['Ki', 'Mi', 'Gi']);
  return binary.length < decimal.length ? binary : decimal;
}

function exact(text: string, { numerator, denominator }: Quantity, largest: number): number {
  if (numerator === 0n) {
    throw new RateError(
      'rate/zero',
      text,
      `would stop all traffic: write ${formatRate(minRate)} or more, or none for no limit`,
    );
  }
  if (numerator < BigInt(minRate) * denominator) {
    throw new RateError(
      'rate/too-small',
      text,
      `is below the smallest rate, 1000 bytes per second: write ${formatRate(minRate)} or more`,
    );
  }
  if (numerator > BigInt(largest) * denominator) {
    const limit = formatRate(largest);
    throw new RateError(
      'rate/too-large',
      text,
      `is above the largest rate, ${limit}: write ${limit} or less, or none for no limit`,
    );
  }
  const bytes = Number(numerator / denominator);
  if (numerator % denominator !== 0n) {
    throw new RateError(
      'rate/not-whole',
      text,
      `is not a whole number of bytes per second: write ${formatRate(bytes)}`,
    );
  }
  return bytes;
}

function accepts(text: string): boolean {
  const quantity = readQuantity(text);
  if (quantity === undefined) return false;
  const { numerator, denominator } = quantity;
  return numerator % denominator === 0n && isRate(Number(numerator / denominator));
}

function inUnits(rate: number, base: number, units: readonly string[]): string {
  let power = 0;
  while (power + 1 < units.length && rate >= base ** (power + 2)) power += 1;
  const unit = BigInt(base ** (power + 1));
  let rest = BigInt(rate) % unit;
  let fraction = '';
  // Ends: the units divide a power of ten, so the decimal expansion is finite.
  while (rest > 0n) {
    rest *= 10n;
    fraction += String(rest / unit);
    rest %= unit;
  }
  return `${BigInt(rate) / unit}${fraction === '' ? '' : `.${fraction}`}${units[power]}`;
}
