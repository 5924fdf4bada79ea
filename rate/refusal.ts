import { maxTextLength } from './grammar.ts';
import { quote } from './quote.ts';
import type { RateErrorCode } from './rate.ts';

/** Why a text is not in the grammar of rates; the explanation continues a sentence that begins with the quoted text. */
export interface Refusal {
  readonly code: RateErrorCode;
  readonly explanation: string;
}

const units = 'K, M, G, Ki, Mi, Gi for bytes per second or Kbit, Mbit, Gbit for bits per second';
const words: Record<string, string> = { K: 'kilo', M: 'mega', G: 'giga', Ki: 'kibi', Mi: 'mebi', Gi: 'gibi' };
const example = '1M (1 megabyte per second)';

/**
 * Finds what is wrong with the form of a text that is no rate, and what its writer probably meant.
 * @param text a text outside the grammar
 * @param accepts tells whether a correction is a rate; what is shown as a correction is always one
 */
export function explainForm(text: string, accepts: (text: string) => boolean): Refusal {
  const correction = (candidate: string) => (accepts(candidate) ? candidate : undefined);
  if (text === '')
    return refuse('rate/empty', `is empty: write a number and a unit, such as ${example}, or none for no limit`);
  if (text.length > maxTextLength) {
    return refuse(
      'rate/too-long',
      `is longer than ${maxTextLength} characters: write a number and a unit, such as ${example}`,
    );
  }
  if (/\s/.test(text)) {
    return refuse('rate/space', `contains white space: write ${correction(text.replace(/\s/g, '')) ?? example}`);
  }
  if (/^[+-]/.test(text)) return refuse('rate/sign', `has a sign: write ${correction(text.slice(1)) ?? example}`);
  if (text === 'none') {
    return refuse('rate/number', `is no limit, where a rate is needed: write a rate, such as ${example}`);
  }
  if (/^none$/i.test(text)) return refuse('rate/letter-case', 'has capital letters: write none for no limit');
  if (/^[\d.]+e[+-]?\d/i.test(text)) {
    return refuse('rate/exponent', `has an exponent: write the number out, with a unit, such as ${example}`);
  }
  const [, number = '', unit = ''] = /^([\d.,_']*)(.*)$/s.exec(text) ?? [];
  if (number === '')
    return refuse('rate/number', `does not begin with a number: write a number and a unit, such as ${example}`);
  if (!/^\d+(\.\d+)?$/.test(number)) {
    return refuse(
      'rate/number',
      `does not begin with a plain decimal number: write ${correction(plain(number) + unit) ?? example}`,
    );
  }
  return explainUnit(number, unit, correction);
}

function explainUnit(number: string, unit: string, correction: (candidate: string) => string | undefined): Refusal {
  const [, prefix = '', rest = ''] = /^([kmg]?)(.*)$/is.exec(unit) ?? [];
  const big = prefix.toUpperCase();
  const bytesOrBits = (name: string) => {
    const [bytes, bits] = [correction(`${number}${name}`), correction(`${number}${name}bit`)];
    const choices = [
      bytes && `${bytes} for ${words[name]}bytes per second`,
      bits && `${bits} for ${words[name]}bits per second`,
    ];
    return choices.filter((choice) => choice !== undefined).join(' or ') || example;
  };
  if (unit === '') return refuse('rate/no-unit', `has no unit: write ${bytesOrBits('M')}`);
  if (unit === 'm')
    return refuse('rate/letter-case', `has the unit m, which is milli: did you mean M? write ${bytesOrBits('M')}`);
  // In common use a small b is a bit, but many write Mb and mean megabytes: only the writer knows.
  if (prefix !== '' && /^i?b(ps)?$/.test(rest)) {
    return refuse(
      'rate/ambiguous',
      `has the unit ${unit}, which may mean bits or bytes: write ${bytesOrBits(rest.startsWith('i') ? `${big}i` : big)}`,
    );
  }
  if (prefix !== '' && /^i?(b(ps)?)?$/i.test(rest)) {
    const meant = `${big}${rest.replace(/b.*$/i, '').toLowerCase()}`;
    return refuse(
      'rate/letter-case',
      `has the unit ${unit}: did you mean ${meant}? write ${correction(number + meant) ?? example}`,
    );
  }
  if (/^[tpezy]i?(b|bit)?$/i.test(unit)) {
    return refuse(
      'rate/too-large',
      `has the unit ${unit}, above the largest rate: write 12.5G or less, or none for no limit`,
    );
  }
  return refuse('rate/unit', `has the unknown unit ${quote(unit)}: write one of ${units}, such as ${example}`);
}

// What the writer of a number with separators meant. "1,500" may be one and a half or fifteen hundred, so it gets no
// correction.
function plain(number: string): string {
  if (/,\d{3}(?!\d)/.test(number)) return '';
  return number.replace(/[_']/g, '').replace(',', '.').replace(/^\./, '0.').replace(/\.$/, '');
}

function refuse(code: RateErrorCode, explanation: string): Refusal {
  return { code, explanation };
}
