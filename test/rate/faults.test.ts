import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DscpError, isDscp, parseDscp } from '../../rate/dscp.ts';
import { labelKeys } from '../../rate/keys.ts';
import { canonicalLabels, LabelError, requestedLimit } from '../../rate/limit.ts';
import { PolicyError, parsePolicy } from '../../rate/policy.ts';
import { isRate } from '../../rate/rate.ts';
import { parseStamp, StampError } from '../../rate/stamp.ts';

const keys = labelKeys('rate');
const codePoints = ['46', '0', 'EF', 'af41', 'cs1', 'none', 'LE', '0x2e', '184'];
const valid = ['1M', '1.5Mi', '500KB', '8Mbit', '12.5G', '1000K', '100gbit', 'none', '0.000001G', '1GiB'];
const pieces = [
  '',
  '0',
  '9',
  '.',
  ',',
  '-',
  '+',
  'e9',
  ' ',
  '\n',
  '\0',
  'i',
  'B',
  'bit',
  'M',
  'µ',
  '١',
  '１',
  'Ｍ',
  'K',
  '😀',
];
const oddities = [
  '\ud800',
  '\udfff',
  '\u202e',
  '\ufeff',
  'e\u0301',
  '__proto__',
  'NaN',
  'Infinity',
  '0x10',
  '1n',
  '{}',
  '%s',
];

/** A text with a few characters taken out, put in or doubled. */
const mutated = (texts: readonly string[]) =>
  fc
    .tuple(
      fc.constantFrom(...texts),
      fc.array(fc.tuple(fc.nat(9), fc.nat(2), fc.constantFrom(...pieces, ...oddities)), { minLength: 1, maxLength: 3 }),
    )
    .map(([text, changes]) =>
      changes.reduce((now, [at, cut, put]) => now.slice(0, at) + put + now.slice(at + cut), text),
    );
const huge = fc
  .tuple(fc.constantFrom(...pieces, ...oddities, ...valid), fc.integer({ min: 60, max: 1_000 }))
  .map(([piece, times]) => piece.repeat(times));
/** What somebody might write for one of the texts. */
const attempts = (texts: readonly string[]) =>
  fc.oneof(
    { arbitrary: mutated(texts), weight: 30 },
    { arbitrary: fc.string({ unit: 'binary', maxLength: 70 }), weight: 5 },
    { arbitrary: fc.string({ maxLength: 12 }), weight: 10 },
    { arbitrary: huge, weight: 1 },
  );
const values = attempts(valid);

/** Calls a reader; what it throws must be its own error, with a message that a terminal and a log can take. */
function outcome<T>(read: () => T, kind: new (...args: never[]) => Error & { code: string }): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    const { message, code } = error;
    const isClear = message.length < 2_000 && message.isWellFormed() && !/[\p{Cc}\p{Cf}]/u.test(message);
    if (!isClear || !/^\w+\/[\w-]+$/.test(code)) throw new Error(`unclear: ${code} ${message}`, { cause: error });
    return undefined;
  }
}

test('a hundred thousand malformed labels are each a limit within the bounds or one clear sentence', () => {
  let [accepted, refused] = [0, 0];
  fc.assert(
    fc.property(values, fc.constantFrom('rate', 'rate-egress', 'rate-ingress'), (value, key) => {
      const labels = { [key]: value };
      const limit = outcome(() => requestedLimit(labels, keys), LabelError);
      if (limit === undefined) {
        refused += 1;
        return true;
      }
      accepted += 1;
      canonicalLabels(labels, keys);
      return Object.values(limit).every(isRate);
    }),
    { numRuns: 100_000 },
  );
  // Neither all too wild nor all too tame.
  expect(Math.min(accepted, refused)).toBeGreaterThan(1_000);
}, 30_000);

test('malformed labels of namespaces and stamps of pods are refused as clearly', () => {
  const fields = ['default', 'min', 'max', 'quota', 'mode', 'max-egress', 'constructor', '__proto__'];
  fc.assert(
    fc.property(values, fc.constantFrom(...fields), fc.boolean(), (value, field, hasMode) => {
      const mode = hasMode ? [['podrate.dev/mode', 'enforce']] : [];
      const labels = Object.fromEntries([...mode, [`podrate.dev/${field}`, value]]);
      outcome(() => parsePolicy(labels, { default: {}, max: {} }), PolicyError);
      outcome(() => parseStamp(value), StampError);
      outcome(() => parseStamp(`{"egress":${value}}`), StampError);
    }),
    { numRuns: 10_000 },
  );
});

test('malformed code points are each one from 0 to 63, none, or one clear sentence, also in a stamp', () => {
  let [accepted, refused] = [0, 0];
  fc.assert(
    fc.property(attempts(codePoints), (value) => {
      outcome(() => parseStamp(`{"dscp":${value}}`), StampError);
      const read = outcome(() => ({ dscp: parseDscp(value) }), DscpError);
      if (read === undefined) refused += 1;
      else accepted += 1;
      return read?.dscp === undefined || isDscp(read.dscp);
    }),
    { numRuns: 20_000 },
  );
  expect(Math.min(accepted, refused)).toBeGreaterThan(50);
});

test('a value of millions of characters is refused by its length alone', () => {
  for (const value of ['9'.repeat(5_000_000), `${'1,'.repeat(2_500_000)}M`, ' '.repeat(5_000_000)]) {
    const refused = outcome(() => requestedLimit({ rate: value }, keys), LabelError);
    expect(refused).toBeUndefined();
    expect(outcome(() => parseDscp(value), DscpError)).toBeUndefined();
  }
});
