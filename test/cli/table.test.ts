import { expect, test } from 'vitest';
import { formatTable } from '../../cli/table.ts';

test('columns are as wide as their widest cell and the heading is underlined', () => {
  expect(
    formatTable(
      [
        ['pod', 'rate'],
        ['rate-10m', '10M'],
      ],
      '─',
    ),
  ).toBe('pod       rate\n────────  ────\nrate-10m  10M');
});
