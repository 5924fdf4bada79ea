/**
 * The grammar of rates written a second time, character by character and without anything from rate/, so that the tests compare
 * two independent readings.
 */
const byteUnits = new Map<string, [bigint, bigint]>();
for (const [index, letter] of ['K', 'M', 'G'].entries()) {
  const power = BigInt(index + 1);
  for (const suffix of ['', 'B']) {
    byteUnits.set(letter + suffix, [1000n ** power, 1n]);
    byteUnits.set(`${letter}i${suffix}`, [1n << (10n * power), 1n]);
  }
}
const bitUnits = new Map<string, [bigint, bigint]>([
  ['kbit', [125n, 1n]],
  ['mbit', [125_000n, 1n]],
  ['gbit', [125_000_000n, 1n]],
]);

/** The bytes per second of a text as a fraction, or undefined if it is not in the grammar; no bounds, no wholeness. */
export function readIndependently(text: string): { top: bigint; bottom: bigint } | undefined {
  let at = 0;
  const digits = (): string => {
    const start = at;
    while (at < text.length && '0123456789'.includes(text.charAt(at))) at += 1;
    return text.slice(start, at);
  };
  const whole = digits();
  if (whole === '') return undefined;
  let fraction = '';
  if (text.charAt(at) === '.') {
    at += 1;
    fraction = digits();
    if (fraction === '') return undefined;
  }
  const unit = text.slice(at);
  const [multiplier, divisor] = byteUnits.get(unit) ?? bitUnits.get(isAscii(unit) ? unit.toLowerCase() : unit) ?? [];
  if (multiplier === undefined || divisor === undefined) return undefined;
  let top = 0n;
  let bottom = divisor;
  for (const digit of whole) top = top * 10n + BigInt(digit);
  for (const digit of fraction) {
    top = top * 10n + BigInt(digit);
    bottom *= 10n;
  }
  return { top: top * multiplier, bottom };
}

function isAscii(text: string): boolean {
  return [...text].every((character) => character < '\u0080');
}
