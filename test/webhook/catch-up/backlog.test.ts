import { beforeEach, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { type Backlog, createBacklog, mostEntries } from '../../../webhook/catch-up/backlog.ts';
import type { Pod } from '../../../webhook/pod.ts';
import { seenPod, stamped } from './seen-pods.ts';

let backlog: Backlog;
beforeEach(() => {
  backlog = createBacklog(labelKeys('rate'));
});
const refuse = (uid: string, dueMs: number) => backlog.putOff(uid, { state: 'refused', dueMs, tries: 0, reason: 'no' });
const turn = (nowMs: number) => backlog.next(nowMs)?.seen.uid;

test('only pods that lack their stamp are kept, until they have it', () => {
  backlog.see(seenPod('a', 1), 0);
  backlog.see(seenPod('b', 2, { rate: 'none' }), 0);
  expect([backlog.count('waiting'), turn(0)]).toEqual([1, 'a']);
  backlog.see(stamped('a', 3), 0);
  expect([backlog.count('waiting'), turn(0)]).toEqual([0, undefined]);
});

test('turns come when they are due, the oldest first, and those who were refused last', () => {
  backlog.see(seenPod('a', 1), 20);
  backlog.see(seenPod('b', 2), 10);
  backlog.see(seenPod('c', 3), 0);
  refuse('c', 5);
  expect([0, 5, 10, 30].map(turn)).toEqual([undefined, 'c', 'b', 'b']);
});

test('a refused pod that changes keeps its time, unless its rate labels change', () => {
  backlog.see(seenPod('a', 1), 0);
  refuse('a', 1_000);
  backlog.see(seenPod('a', 2), 0);
  expect(turn(999)).toBeUndefined();
  expect(backlog.next(1_000)).toMatchObject({ state: 'refused', reason: 'no', seen: { resourceVersion: '2' } });
  backlog.see(seenPod('a', 3, { rate: '2M' }), 5);
  expect(backlog.next(5)).toMatchObject({ state: 'waiting', reason: undefined });
});

test('no more pods are kept than there is room for, and while it is full none that was tried in vain', () => {
  for (let index = 0; index < mostEntries + 10; index += 1) backlog.see(seenPod(`p${index}`, 1), index);
  expect([backlog.count('waiting'), backlog.letGo()]).toEqual([mostEntries, 10]);
  refuse('p0', 1_000);
  expect([backlog.count('waiting'), backlog.count('refused'), backlog.letGo()]).toEqual([mostEntries - 1, 0, 11]);
  backlog.see(seenPod('new', 1), 0);
  expect(turn(0)).toBe('new');
  backlog.remove('p1');
  refuse('p2', 1_000);
  expect(backlog.count('refused')).toBe(1);
});

test('an older version from a watch that lags is not taken', () => {
  backlog.see(seenPod('a', 12), 0);
  backlog.see(seenPod('a', 9), 0);
  expect(backlog.next(0)?.seen.resourceVersion).toBe('12');
});

test('a complete list ends what it does not have and was meant to have', () => {
  const has = (label: string) => (pod: Pod) => Object.hasOwn(pod.metadata.labels ?? {}, label);
  backlog.see(seenPod('a', 1), 0);
  backlog.see(seenPod('b', 2), 0);
  backlog.see(seenPod('c', 3, { 'rate-egress': '1M' }), 0);
  backlog.retain(has('rate'), new Set(['b']));
  expect(backlog.count('waiting')).toBe(2);
  backlog.remove('b');
  expect(turn(0)).toBe('c');
  refuse('b', 0);
  expect(backlog.count('refused')).toBe(0);
});

test('a pod that goes from one watch to another stays, whichever tells first', () => {
  backlog.see(seenPod('a', 3), 0);
  backlog.see(seenPod('a', 7, { rate: '1M', 'podrate.dev/shaped': 'true' }), 0);
  backlog.remove('a', '7');
  expect(turn(0)).toBe('a');
  backlog.remove('a', '8');
  expect(turn(0)).toBeUndefined();
});
