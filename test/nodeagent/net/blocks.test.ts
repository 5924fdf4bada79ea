import { expect, test } from 'vitest';
import { parseBlocks } from '../../../nodeagent/net/blocks.ts';

const shown = (list: string) => parseBlocks(list).map(({ text, bits }) => [text, bits]);

test('blocks and single addresses of both families are read, in one spelling', () => {
  expect(shown('10.1.2.3/8, fd00:0:0::1/16\n192.168.0.1 ::1')).toEqual([
    ['10.0.0.0/8', 104],
    ['fd00::/16', 16],
    ['192.168.0.1/32', 128],
    ['::1/128', 128],
  ]);
});

test('an IPv4 block is the mapped part of IPv6, byte for byte', () => {
  const [block] = parseBlocks('10.20.0.0/16');
  expect(block?.bytes).toEqual(Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 20, 0, 0]));
});

test('an empty list is no block, and a block that is named twice is one', () => {
  expect(parseBlocks(' , ')).toEqual([]);
  expect(parseBlocks('10.0.0.0/8,10.9.9.9/8')).toHaveLength(1);
});

test.each([
  '10.0.0/8',
  '010.0.0.0/8',
  '10.0.0.0/33',
  'fd00::/129',
  '10.0.0.0/',
  '10.0.0.0/-1',
  'all',
  'fe80::1%eth0',
  '1/2/3',
])('%s is refused with what to write instead', (word) => {
  expect(() => parseBlocks(`10.0.0.0/8,${word}`)).toThrow(
    `${JSON.stringify(word)} is no address block: write one like 10.0.0.0/8 or fd00::/8`,
  );
});
