import { expect, test } from 'vitest';
import { filterClassId, leavesOf, podHandle, type Queue } from '../../../nodeagent/ingress-queue/htb.ts';
import { planQueues, type QueuesThere } from '../../../nodeagent/ingress-queue/plan.ts';
import type { RootQueue } from '../../../nodeagent/ingress-queue/state.ts';

const classifier = { file: '/pins/new/programs/podrate_queue', id: 7 };
const queue: Queue = { rate: 1_000_000, mtu: 1500, slot: 5, classifier };
const slower: Queue = { ...queue, rate: 999_000 };
const wanted = new Map([['port', queue]]);

function root(kind: string, handle: string, leaves = leavesOf(handle, queue).slice(0, 0)): RootQueue {
  return { device: 'port', kind, handle, leaves: new Map(leaves.map((leaf) => [leaf.parent, leaf])) };
}
function there(one: RootQueue, filtered?: Queue): QueuesThere {
  const filter = filtered && {
    programId: filtered.classifier.id,
    classId: filterClassId(podHandle, filtered.slot),
  };
  return { roots: new Map([['port', one]]), filters: new Map(filter ? [['port', filter]] : []) };
}
const whole = (one: Queue) => root('htb', podHandle, [...leavesOf(podHandle, one)]);
const kinds = (state: QueuesThere, devices: ReadonlyMap<string, Queue> = wanted) =>
  planQueues(podHandle, devices, state).steps.map(({ kind }) => kind);

test('a device without a queueing discipline of its own gets a queue, and a whole queue stays as it is', () => {
  const install = [{ kind: 'install', device: 'port', queue }];
  expect(planQueues(podHandle, wanted, { roots: new Map(), filters: new Map() }).steps).toEqual(install);
  for (const kind of ['noqueue', 'pfifo_fast', 'fq_codel', 'mq']) {
    expect(planQueues(podHandle, wanted, there(root(kind, '0:'))).steps).toEqual(install);
  }
  expect(kinds(there(whole(queue), queue))).toEqual([]);
});

test('another rate, MTU, slot or classifier is a change in place', () => {
  for (const other of [
    slower,
    { ...queue, mtu: 1450 },
    { ...queue, slot: 6 },
    { ...queue, classifier: { file: '/pins/old/programs/podrate_queue', id: 6 } },
  ]) {
    expect(planQueues(podHandle, wanted, there(whole(other), other)).steps).toEqual([
      { kind: 'change', device: 'port', queue },
    ]);
  }
});

test.each([
  ['tbf', '1:'],
  ['htb', '1:'],
  ['htb', '7065:'],
  ['tbf', podHandle],
])('the root %s %s is of another program, and stays', (kind, handle) => {
  const plan = planQueues(podHandle, wanted, there(root(kind, handle)));
  expect(plan.steps).toEqual([]);
  expect([...plan.foreign.keys()]).toEqual(['port']);
  expect(planQueues(podHandle, new Map(), there(root(kind, handle))).steps).toEqual([]);
});

test('a queue is made anew unless all its leaves are there: a process was killed, or an earlier version made it', () => {
  const anew = ['remove', 'install'];
  const leaves = [...leavesOf(podHandle, queue)];
  expect(kinds(there(root('htb', podHandle)))).toEqual(anew);
  expect(kinds(there(root('htb', podHandle, leaves.slice(0, -1))))).toEqual(anew);
  expect(kinds(there(root('htb', podHandle, leaves.toSpliced(1, 1)), queue))).toEqual(anew);
  const [first, ...others] = leaves;
  const elsewhere = first && { ...first, handle: '1:' };
  expect(kinds(there(root('htb', podHandle, elsewhere ? [elsewhere, ...others] : []), queue))).toEqual(anew);
});

test('a queue that was made or changed only halfway is changed, whatever its rate is to be', () => {
  expect(kinds(there(whole(queue)))).toEqual(['change']);
  const [first] = leavesOf(podHandle, slower);
  const [, ...others] = leavesOf(podHandle, queue);
  const halfway = there(root('htb', podHandle, first ? [first, ...others] : []), queue);
  expect(kinds(halfway)).toEqual(['change']);
  expect(kinds(halfway, new Map([['port', slower]]))).toEqual(['change']);
});

test('a queue that is no longer wanted is removed', () => {
  expect(planQueues(podHandle, new Map(), there(whole(queue), queue)).steps).toEqual([
    { kind: 'remove', device: 'port' },
  ]);
});
