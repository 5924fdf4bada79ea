import { expect, test } from 'vitest';
import { createStopwatches } from '../../../nodeagent/reconcile/stopwatches.ts';

test('a key is measured from when it was first named, for as long as it is named', () => {
  let now = 100;
  const watches = createStopwatches(() => now);
  watches.keep(['a']);
  now = 150;
  watches.keep(['a', 'b']);
  now = 160;
  expect([watches.ms('a'), watches.ms('b'), watches.ms('c')]).toEqual([60, 10, undefined]);
  watches.keep(['b']);
  watches.keep(['a', 'b']);
  now = 170;
  expect([watches.ms('a'), watches.ms('b')]).toEqual([10, 20]);
});
