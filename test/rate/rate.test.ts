import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatRate, isRate, maxRate, minRate, parseRate, type Rate, RateError } from '../../rate/rate.ts';
import { readIndependently } from './independent-rate.ts';

const rates = fc
  .oneof(
    fc.integer({ min: minRate, max: maxRate }),
    fc
      .tuple(fc.integer({ min: 1, max: 12_500 }), fc.constantFrom(1e3, 1e6, 1024, 1024 ** 2))
      .map(([n, unit]) => n * unit),
  )
  .filter(isRate);

const units = [
  'K',
  'M',
  'G',
  'Ki',
  'Mi',
  'Gi',
  'KB',
  'MiB',
  'GB',
  'Kbit',
  'mbit',
  'GBIT',
  '',
  'm',
  'k',
  'kb',
  'Mb',
  'T',
  'bit',
  'Kibit',
  'B',
];
const digits = fc.stringMatching(/^\d{1,12}$/);
const nearRates = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('', '', '', '-', '+', ' '),
      digits,
      fc.constantFrom('', '.'),
      fc.stringMatching(/^\d{0,6}$/),
      fc.constantFrom(...units),
    )
    .map((parts) => parts.join('')),
  fc.stringMatching(/^[0-9.KMGibBte -]{0,12}$/),
  fc.string({ maxLength: 80 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
);

describe('a rate', () => {
  test.each([
    ['1M', 1_000_000],
    ['1.5M', 1_500_000],
    ['500K', 500_000],
    ['2G', 2_000_000_000],
    ['1Mi', 1_048_576],
    ['1.5Ki', 1_536],
    ['8Mbit', 1_000_000],
    ['8mbit', 1_000_000],
    ['8MBIT', 1_000_000],
    ['12Kbit', 1_500],
    ['100Gbit', 12_500_000_000],
    ['1MB', 1_000_000],
    ['1MiB', 1_048_576],
    ['1K', 1_000],
    ['12.5G', 12_500_000_000],
    ['0.001M', 1_000],
    ['1.001K', 1_001],
    ['007M', 7_000_000],
    ['1.000M', 1_000_000],
  ])('%s is %d bytes per second', (text, bytes) => {
    expect(parseRate(text)).toBe(bytes);
  });

  test.each([
    [1_000, '1K'],
    [1_000_000, '1M'],
    [1_500_000, '1.5M'],
    [999_999, '999.999K'],
    [500_000, '500K'],
    [1_048_576, '1Mi'],
    [1_536, '1.5Ki'],
    [1_001, '1.001K'],
    [12_500_000_000, '12.5G'],
    [2_000_000_001, '2.000000001G'],
  ])('of %d bytes per second is written %s', (bytes, text) => {
    expect(formatRate(bytes as Rate)).toBe(text);
  });

  test('survives being written and read, in a form that is a legal label value', () => {
    fc.assert(
      fc.property(rates, (rate) => {
        const text = formatRate(rate);
        expect(parseRate(text)).toBe(rate);
        expect(text).toMatch(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is exactly what an independent reading of the text gives, and nothing else is accepted', () => {
    fc.assert(
      fc.property(nearRates, (text) => {
        const expected = readIndependently(text);
        const whole = expected !== undefined && expected.top % expected.bottom === 0n;
        const bytes = whole ? expected.top / expected.bottom : -1n;
        const acceptable = bytes >= 1_000n && bytes <= 12_500_000_000n && text.length <= 63;
        if (acceptable) expect(BigInt(parseRate(text))).toBe(bytes);
        else expect(() => parseRate(text)).toThrow(RateError);
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('a refusal', () => {
  test.each([
    ['', 'rate/empty', 'is empty'],
    ['10', 'rate/no-unit', 'write 10M for megabytes per second or 10Mbit for megabits per second'],
    ['1m', 'rate/letter-case', 'milli: did you mean M? write 1M'],
    ['1k', 'rate/letter-case', 'did you mean K? write 1K'],
    ['1kB', 'rate/letter-case', 'did you mean K? write 1K'],
    ['5gi', 'rate/letter-case', 'did you mean Gi? write 5Gi'],
    [
      '1Mb',
      'rate/ambiguous',
      'may mean bits or bytes: write 1M for megabytes per second or 1Mbit for megabits per second',
    ],
    ['1kb', 'rate/ambiguous', 'write 1K'],
    ['8Mbps', 'rate/ambiguous', 'write 8M for megabytes per second or 8Mbit'],
    ['1Mib', 'rate/ambiguous', 'write 1Mi for mebibytes per second'],
    ['-1M', 'rate/sign', 'has a sign: write 1M'],
    ['+1M', 'rate/sign', 'has a sign: write 1M'],
    ['1e6', 'rate/exponent', 'has an exponent'],
    ['1E3M', 'rate/exponent', 'has an exponent'],
    ['1 M', 'rate/space', 'write 1M'],
    ['1M\n', 'rate/space', 'write 1M'],
    ['.5M', 'rate/number', 'write 0.5M'],
    ['1.M', 'rate/number', 'write 1M'],
    ['1,5M', 'rate/number', 'write 1.5M'],
    ['1,500K', 'rate/number', 'write 1M'],
    ['1.2.3M', 'rate/number', 'plain decimal number'],
    ['fast', 'rate/number', 'does not begin with a number'],
    ['１M', 'rate/number', 'does not begin with a number'],
    ['none', 'rate/number', 'is no limit, where a rate is needed'],
    ['None', 'rate/letter-case', 'write none'],
    ['1X', 'rate/unit', 'has the unknown unit "X"'],
    ['1Kibit', 'rate/unit', 'has the unknown unit "Kibit"'],
    ['0x10M', 'rate/unit', 'has the unknown unit "x10M"'],
    ['0M', 'rate/zero', 'would stop all traffic: write 1K or more, or none'],
    ['0.5K', 'rate/too-small', 'write 1K or more'],
    ['0.9999K', 'rate/too-small', 'below the smallest rate'],
    ['12.6G', 'rate/too-large', 'write 12.5G or less'],
    ['1T', 'rate/too-large', 'write 12.5G or less'],
    ['1.0005K', 'rate/not-whole', 'is not a whole number of bytes per second: write 1K'],
    ['8.001Kbit', 'rate/not-whole', 'write 1K'],
    ['1'.repeat(64), 'rate/too-long', 'longer than 63 characters'],
  ])('of %j has the code %s and says %j', (text, code, words) => {
    const error = refusal(text);
    expect(error).toMatchObject({ code, value: text });
    expect(error.message).toContain(words);
  });

  test('always quotes the value and shows something that is accepted, in one sentence', () => {
    fc.assert(
      fc.property(nearRates, (text) => {
        fc.pre(!isAccepted(text));
        const { message } = refusal(text);
        // A JSON string, in which what cannot be seen is escaped; beyond the length of a label value it is cut.
        const [quoted = ''] = /^"(?:[^"\\]|\\.)*"/.exec(message) ?? [];
        if (text.length <= 63) {
          expect(JSON.parse(quoted)).toBe(text);
          expect(message.slice(quoted.length)).not.toMatch(/[\n\r]|\. |\.$/);
        } else expect(text.startsWith(JSON.parse(quoted).slice(0, 30))).toBe(true);
        const advice = message.slice(message.lastIndexOf('write ')).split(/[ ,]/);
        expect(advice.some((word) => word === 'none' || isAccepted(word))).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  test('of a very long value stays short', () => {
    expect(refusal('9'.repeat(1_000_000)).message.length).toBeLessThan(300);
  });
});

function isAccepted(text: string): boolean {
  try {
    parseRate(text);
    return true;
  } catch {
    return false;
  }
}

function refusal(text: string): RateError {
  try {
    parseRate(text);
  } catch (error) {
    if (error instanceof RateError) return error;
    throw error;
  }
  throw new Error(`${JSON.stringify(text)} was accepted`);
}
