import { quote } from './quote.ts';

declare const brand: unique symbol;

/**
 * A code point of the differentiated services field, 0 to 63: the upper six bits of IPv4's TOS and of IPv6's traffic
 * class.
 */
export type Dscp = number & { readonly [brand]: 'code point' };

/** The largest code point. */
export const maxDscp = 63;

/** The value that means no marking. */
export const noDscp = 'none';

/**
 * The names that RFCs give code points: class selectors (2474), assured forwarding (2597), expedited forwarding (3246),
 * voice admit (5865), lower effort (8622).
 */
const codePoints: ReadonlyMap<string, number> = new Map([
  ...Array.from({ length: 8 }, (_, precedence): [string, number] => [`CS${precedence}`, 8 * precedence]),
  ...[1, 2, 3, 4].flatMap((group) =>
    [1, 2, 3].map((drop): [string, number] => [`AF${group}${drop}`, 8 * group + 2 * drop]),
  ),
  ['EF', 46],
  ['VA', 44],
  ['LE', 1],
]);
const names = new Map([...codePoints].map(([name, dscp]) => [dscp, name]));

/** Why a text is not a code point; a stable name, for programs. */
export type DscpErrorCode = 'dscp/empty' | 'dscp/too-long' | 'dscp/number' | 'dscp/too-large' | 'dscp/name';

/**
 * A text that is not a code point. The message is one sentence that quotes the text, says why, and shows what to write.
 */
export class DscpError extends Error {
  override readonly name = 'DscpError';
  readonly code: DscpErrorCode;
  /** The refused text, whole. */
  readonly value: string;

  constructor(code: DscpErrorCode, value: string, explanation: string) {
    super(`${quote(value)} ${explanation}`);
    this.code = code;
    this.value = value;
  }
}

// Longer than any form of a code point: 0b111111 has 8 characters.
const maxLength = 16;
const forms = 'a number from 0 to 63 or a name such as EF, AF41 or CS1';

/** Reports whether a value is a code point. */
export function isDscp(value: unknown): value is Dscp {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxDscp;
}

/**
 * Parses a code point: a decimal number from 0 to 63, a name such as `EF` in any letter case, or `none`.
 * @returns undefined for `none`
 * @throws DscpError
 */
export function parseDscp(text: string): Dscp | undefined {
  if (text.length > maxLength) throw new DscpError('dscp/too-long', text, `is too long: write ${forms}`);
  if (text === noDscp) return undefined;
  const named = codePoints.get(text.toUpperCase());
  if (named !== undefined) return named as Dscp;
  if (text === '') throw new DscpError('dscp/empty', text, `is empty: write ${forms}, or none for no marking`);
  if (/^none$/i.test(text)) throw new DscpError('dscp/name', text, 'has capital letters: write none for no marking');
  if (!/^[+-]?\d|^[+-]/.test(text))
    throw new DscpError('dscp/name', text, `is no name of a code point: write ${forms}`);
  const number = /^(0|[1-9]\d*|0x[\da-f]+|0b[01]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (number > maxDscp)
    throw new DscpError('dscp/too-large', text, `is above 63, the largest code point${meant(number)}`);
  if (!/^(0|[1-9]\d?)$/.test(text)) {
    const plain = Number.isNaN(number) ? Number(/^0+(\d+)$/.exec(text)?.[1] ?? Number.NaN) : number;
    const advice = isDscp(plain) ? String(plain) : forms;
    throw new DscpError('dscp/number', text, `is no plain decimal number: write ${advice}`);
  }
  return number as Dscp;
}

/** Returns a code point for people, such as `46 (EF)`; the number alone where it has no name. */
export function formatDscp(dscp: number): string {
  const name = names.get(dscp);
  return name === undefined ? String(dscp) : `${dscp} (${name})`;
}

// Other tools take the whole byte, in which the code point is two bits higher: EF is 184 or 0xb8 there.
function meant(byte: number): string {
  const isByte = byte <= 255 && byte % 4 === 0;
  return isByte ? `: did you mean the TOS byte? its code point is ${byte / 4}` : `: write ${forms}`;
}
