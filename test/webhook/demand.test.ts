import { expect, test } from 'vitest';
import { createDemand } from '../../webhook/demand.ts';

test('a need is not there until it is told, and each change of it ends the wait for one', () => {
  const demand = createDemand();
  const first = demand.changed();
  demand.tell(false);
  expect([demand.isThere(), first.aborted]).toEqual([false, false]);
  demand.tell(true);
  expect([demand.isThere(), first.aborted]).toEqual([true, true]);
  const second = demand.changed();
  demand.tell(true);
  expect(second.aborted).toBe(false);
  demand.tell(false);
  expect([demand.isThere(), second.aborted]).toEqual([false, true]);
});
