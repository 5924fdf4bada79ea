import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as bandwidth from '../../rate/bandwidth.ts';
import * as dscp from '../../rate/dscp.ts';
import * as grammar from '../../rate/grammar.ts';
import * as keys from '../../rate/keys.ts';
import * as limit from '../../rate/limit.ts';
import * as policy from '../../rate/policy.ts';
import * as quoting from '../../rate/quote.ts';
import * as rate from '../../rate/rate.ts';
import * as refusal from '../../rate/refusal.ts';
import * as stamp from '../../rate/stamp.ts';
import { readPod } from '../../webhook/admission/pod.ts';
import { hasSameRateLabels, requestedDscp } from '../../webhook/admission/requests.ts';
import { readTemplate } from '../../webhook/admission/validate-template.ts';

const labelKeys = keys.labelKeys('rate');
const shaped = { 'podrate.dev/shaped': 'true' };
const mode = { 'podrate.dev/mode': 'enforce' };
const none = { default: {}, max: {} };

/** Everything that parses a text which a user can write. */
const parsers: Record<string, (text: string) => unknown> = {
  parseRate: rate.parseRate,
  parseTotal: rate.parseTotal,
  readQuantity: grammar.readQuantity,
  explainForm: (text) => refusal.explainForm(text, () => false),
  quote: quoting.quote,
  parseBandwidth: bandwidth.parseBandwidth,
  bandwidthWarnings: (text) => bandwidth.bandwidthWarnings({ 'kubernetes.io/egress-bandwidth': text }),
  parseDscp: dscp.parseDscp,
  parseStamp: stamp.parseStamp,
  stampedLimit: (text) => stamp.stampedLimit({ labels: shaped, annotations: { 'podrate.dev/limit': text } }),
  labelKeys: keys.labelKeys,
  requestedRates: (text) => limit.requestedRates({ rate: text }, labelKeys),
  requestedLimit: (text) => limit.requestedLimit({ 'rate-egress': text }, labelKeys),
  canonicalLabels: (text) => limit.canonicalLabels({ rate: text }, labelKeys),
  parsePolicy: (text) => policy.parsePolicy({ ...mode, 'podrate.dev/quota': text }, none),
  policyMode: (text) => policy.parsePolicy({ 'podrate.dev/mode': text }, none),
  readStamp: (text) => stamp.readStamp({ labels: shaped, annotations: { 'podrate.dev/limit': text } }),
  requestedDscp: (text) => requestedDscp({ labels: {}, annotations: { 'podrate.dev/dscp': text } }),
  hasSameRateLabels: (text) => hasSameRateLabels(labelled(text), labelled(text.slice(1)), labelKeys),
  readPod: (text) =>
    readPod({
      metadata: { name: text, uid: text, resourceVersion: text, labels: { [text]: text } },
      status: { phase: text },
    }),
  readTemplate: (text) => readTemplate({ spec: { template: { metadata: { annotations: { [text]: text } } } } }),
};
const labelled = (text: string) => ({ labels: { rate: text }, annotations: undefined });

const size = 1_000_000;
const budgetMs = 10;

/** A unit that is repeated to a megabyte, and texts at its ends. */
const shape = fc.record({
  head: fc.constantFrom('', '0', '-', '1.', '0x', '{"egress":', '"', 'none', ' '),
  unit: fc.oneof(
    fc.constantFrom(
      ...['0', '9', '1,', '1.', ' ', '\t\n', 'e', 'K', 'none', '[', '{"a":', '"\\u0000', '\\', '<', 'a-', 'a.'],
    ),
    fc.constantFrom('\u202e', '\u0301', '\u{1f600}', '\ud800', '\u0000', 'İ', 'ß', '_', "'"),
    fc.string({ minLength: 1, maxLength: 5, unit: 'binary' }),
  ),
  tail: fc.constantFrom('', 'x', 'M', '}', '"', ' ', '!', '0'),
});
const textOf = ({ head, unit, tail }: { head: string; unit: string; tail: string }) =>
  head + unit.repeat(Math.ceil(size / unit.length)) + tail;

/** The shortest time of some runs: the machine may be busy with something else during one. */
function milliseconds(parse: (text: string) => unknown, text: string): number {
  const runs = Array.from({ length: 7 }, () => {
    const begun = performance.now();
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error;
      expect(error.message.length).toBeLessThan(1_500);
    }
    return performance.now() - begun;
  });
  return Math.min(...runs);
}

describe('a text of a megabyte', () => {
  test.each(Object.keys(parsers))(
    'of any shape is read or refused by %s within its budget',
    (name) => {
      const parse = parsers[name] as (text: string) => unknown;
      fc.assert(
        fc.property(shape, (each) => {
          expect(milliseconds(parse, textOf(each))).toBeLessThan(budgetMs);
        }),
        { numRuns: 150 },
      );
    },
    60_000,
  );
});

test('every parser that is exported is among those that are tried', () => {
  const modules = [dscp, grammar, keys, limit, policy, quoting, rate, refusal, stamp];
  const exported = modules.flatMap((each) => Object.entries(each).filter(([, value]) => typeof value === 'function'));
  // What takes no text of a user, and errors.
  const others = ['formatDscp', 'formatRate', 'formatStamp', 'isDscp', 'isRate', 'isLimited', 'policyKey'];
  const names = exported.map(([name]) => name).filter((name) => !name.endsWith('Error') && !others.includes(name));
  expect(names.filter((name) => !(name in parsers))).toEqual([]);
});
