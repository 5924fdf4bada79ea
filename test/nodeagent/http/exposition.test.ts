import { expect, test } from 'vitest';
import { formatFamilies, labelsOf } from '../../../nodeagent/http/exposition.ts';

test('metrics are written in the text format, with and without labels', () => {
  expect(
    formatFamilies([
      ['a_total', 'counter', 'All of them', [[labelsOf({ x: '1', y: 'two' }), 3]]],
      ['b', 'gauge', 'One', [['', 0.5]]],
      ['c', 'gauge', 'None', []],
    ]),
  ).toBe(
    '# HELP a_total All of them\n# TYPE a_total counter\na_total{x="1",y="two"} 3\n' +
      '# HELP b One\n# TYPE b gauge\nb 0.5\n# HELP c None\n# TYPE c gauge\n',
  );
});

test('quotes, backslashes and line feeds in the values of labels are escaped', () => {
  expect(labelsOf({ name: 'a"b\\c\nd' })).toBe('name="a\\"b\\\\c\\nd"');
});
