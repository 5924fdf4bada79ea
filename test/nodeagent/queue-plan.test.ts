import { expect, test } from 'vitest';
import { classRates, leavesOf, podHandle, type Queue } from '../../nodeagent/queue.ts';
import { planQueues } from '../../nodeagent/queue-plan.ts';
import { type RootQueue, rootQueues } from '../../nodeagent/queue-state.ts';

const queue: Queue = { rate: 1_000_000, mtu: 1500 };
const slower: Queue = { rate: 999_000, mtu: 1500 };
const wanted = new Map([['port', queue]]);
const root = (kind: string, handle: string, leaf?: RootQueue['leaf']): RootQueue => ({
  device: 'port',
  kind,
  handle,
  leaf,
});
const there = (one: RootQueue, rates?: Queue) => ({
  roots: new Map([['port', one]]),
  rates: new Map(rates ? [['port', classRates(rates)]] : []),
});
const ours = root('htb', podHandle, 'bfifo');

test('a device without a queue gets one, and one that has it is left in peace', () => {
  const install = [{ kind: 'install', device: 'port', queue }];
  expect(planQueues(podHandle, wanted, { roots: new Map(), rates: new Map() }).steps).toEqual(install);
  for (const kind of ['noqueue', 'pfifo_fast', 'fq_codel']) {
    expect(planQueues(podHandle, wanted, there(root(kind, '0:'))).steps).toEqual(install);
  }
  expect(planQueues(podHandle, wanted, there(ours, queue)).steps).toEqual([]);
});

test('another rate is a change in place', () => {
  expect(planQueues(podHandle, wanted, there(ours, slower)).steps).toEqual([
    { kind: 'change', device: 'port', queue, leaf: 'bfifo' },
  ]);
});

test.each([
  ['tbf', '1:'],
  ['htb', '1:'],
  ['htb', '7065:'],
  ['tbf', podHandle],
])("a root queue %s %s is somebody else's, and stays", (kind, handle) => {
  const plan = planQueues(podHandle, wanted, there(root(kind, handle)));
  expect(plan.steps).toEqual([]);
  expect([...plan.foreign.keys()]).toEqual(['port']);
  expect(planQueues(podHandle, new Map(), there(root(kind, handle))).steps).toEqual([]);
});

test('one that was made halfway is made anew', () => {
  expect(planQueues(podHandle, wanted, there(root('htb', podHandle))).steps.map(({ kind }) => kind)).toEqual([
    'remove',
    'install',
  ]);
});

test('one that nobody wants any more goes', () => {
  expect(planQueues(podHandle, new Map(), there(ours, queue)).steps).toEqual([{ kind: 'remove', device: 'port' }]);
});

test('a queue whose leaves are not all there is no whole queue', () => {
  const [first, second, third] = leavesOf(podHandle).map((leaf) => ({ kind: 'bfifo', dev: 'port', ...leaf }));
  const printed = { kind: 'htb', handle: podHandle, dev: 'port', root: true };
  expect(rootQueues([printed, first, second, third]).get('port')?.leaf).toBe('bfifo');
  expect(rootQueues([printed, first, third]).get('port')?.leaf).toBeUndefined();
  expect(rootQueues([printed, first, second, { ...third, dev: 'other' }]).get('port')?.leaf).toBeUndefined();
});
