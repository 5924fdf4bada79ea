import { expect, test } from 'vitest';
import { createTurns } from '../../nodeagent/turns.ts';

const cgroups = (...ids: number[]) => ids.map((id) => ({ id: BigInt(id), path: `/${id}` }));
const idsOf = (picked: readonly { id: bigint }[]) => picked.map(({ id }) => Number(id));

test('every cgroup has its turn, in whatever order they come', () => {
  const turns = createTurns(2);
  expect(idsOf(turns.next(cgroups(5, 1, 3)))).toEqual([1, 3]);
  expect(idsOf(turns.next(cgroups(3, 5, 1)))).toEqual([5, 1]);
  expect(idsOf(turns.next(cgroups(1, 3, 5)))).toEqual([3, 5]);
});

test('cgroups that come and go disturb nobody’s turn', () => {
  const turns = createTurns(1);
  expect(idsOf(turns.next(cgroups(1, 2, 3)))).toEqual([1]);
  expect(idsOf(turns.next([undefined, ...cgroups(3, 4)]))).toEqual([3]);
  expect(idsOf(turns.next(cgroups(1, 4)))).toEqual([4]);
  expect(idsOf(turns.next(cgroups(1, 4)))).toEqual([1]);
});

test('no cgroup is picked twice in a turn, and none where there are none', () => {
  expect(idsOf(createTurns(5).next(cgroups(1, 2)))).toEqual([1, 2]);
  expect(createTurns(5).next([undefined])).toEqual([]);
});
