import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DscpError, formatDscp, isDscp, parseDscp } from '../../rate/dscp.ts';

/** The code points with a name of their own in the Differentiated Services registry of IANA, and what an administrator calls them. */
const registry: readonly (readonly [string, number])[] = [
  ...(['CS0', 'CS1', 'CS2', 'CS3', 'CS4', 'CS5', 'CS6', 'CS7'] as const).map((name, i) => [name, i * 8] as const),
  ...[['AF11', 10] as const, ['AF12', 12] as const, ['AF13', 14] as const],
  ...[['AF21', 18] as const, ['AF22', 20] as const, ['AF23', 22] as const],
  ...[['AF31', 26] as const, ['AF32', 28] as const, ['AF33', 30] as const],
  ...[['AF41', 34] as const, ['AF42', 36] as const, ['AF43', 38] as const],
  ...[['EF', 46] as const, ['VA', 44] as const, ['LE', 1] as const],
];

test('every name of the registry is read in any letter case, and written beside its number', () => {
  for (const [name, dscp] of registry) {
    expect(parseDscp(name)).toBe(dscp);
    expect(parseDscp(name.toLowerCase())).toBe(dscp);
    expect(formatDscp(dscp)).toBe(`${dscp} (${name})`);
  }
});

test('the numbers from 0 to 63 are read, and those without a name written alone', () => {
  for (let dscp = 0; dscp <= 63; dscp += 1) expect(parseDscp(String(dscp))).toBe(dscp);
  expect(formatDscp(45)).toBe('45');
});

test('none is no marking', () => {
  expect(parseDscp('none')).toBeUndefined();
});

test.each([
  [
    '',
    'dscp/empty',
    '"" is empty: write a number from 0 to 63 or a name such as EF, AF41 or CS1, or none for no marking',
  ],
  ['64', 'dscp/too-large', '"64" is above 63, the largest code point: did you mean the TOS byte? its code point is 16'],
  ['184', 'dscp/too-large', 'its code point is 46'],
  ['0xB8', 'dscp/too-large', 'its code point is 46'],
  ['65', 'dscp/too-large', 'is above 63, the largest code point: write a number from 0 to 63'],
  ['1000000000000', 'dscp/too-large', 'is above 63'],
  ['1000000000000000000000', 'dscp/too-long', 'is too long'],
  ['0x2e', 'dscp/number', '"0x2e" is no plain decimal number: write 46'],
  ['046', 'dscp/number', 'write 46'],
  ['-1', 'dscp/number', '"-1" is no plain decimal number: write a number from 0 to 63'],
  ['1.5', 'dscp/number', 'is no plain decimal number'],
  ['46 ', 'dscp/number', 'is no plain decimal number'],
  ['46EF', 'dscp/number', 'is no plain decimal number'],
  ['AF44', 'dscp/name', '"AF44" is no name of a code point: write a number from 0 to 63 or a name such as EF'],
  [' EF', 'dscp/name', 'is no name of a code point'],
  ['gold', 'dscp/name', 'is no name of a code point'],
  ['None', 'dscp/name', '"None" has capital letters: write none for no marking'],
])('the text %j is no code point, and it is said what to write', (text, code, message) => {
  expect(() => parseDscp(text)).toThrow(expect.objectContaining({ name: 'DscpError', code, value: text }));
  expect(() => parseDscp(text)).toThrow(message);
});

test('whatever is read is a code point or none, and every refusal is a sentence in one line', () => {
  const text = fc.oneof(
    fc.string(),
    fc.integer().map(String),
    fc.mixedCase(fc.constantFrom('ef', 'cs8', 'af31', 'none')),
  );
  fc.assert(
    fc.property(text, (value) => {
      try {
        const dscp = parseDscp(value);
        expect(dscp === undefined ? value === 'none' : isDscp(dscp)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(DscpError);
        expect((error as Error).message).not.toMatch(/[\n\r]/);
      }
    }),
  );
});
