import { expect, test } from 'vitest';
import { quote } from '../../rate/quote.ts';

test.each([
  ['1M', '"1M"'],
  ['a"b\n', '"a\\"b\\n"'],
  ['\u009b31m', '"\\u009b31m"'],
  ['\u202eM1\u2028', '"\\u202eM1\\u2028"'],
  ['\u{e0001}', '"\\udb40\\udc01"'],
  ['é😀', '"é😀"'],
])('%j is quoted as %s, which is JSON and can all be seen', (text, quoted) => {
  expect(quote(text)).toBe(quoted);
  expect(JSON.parse(quoted)).toBe(text);
});

test('a long text is cut', () => {
  expect(quote('x'.repeat(100))).toBe(`"${'x'.repeat(63)}…"`);
  expect(quote('x'.repeat(100), 5)).toBe('"xxxxx…"');
});
