import { expect, test } from 'vitest';
import { formatList } from '../../../cli/commands/list.ts';
import type { Listed } from '../../../cli/limit/listed.ts';

const none = { packets: 0, bytes: 0 };
const verdicts = {
  passed: { packets: 2, bytes: 200 },
  delayed: none,
  dropped: { packets: 3, bytes: 30 },
  marked: none,
};
const entry: Listed = {
  ...{ owner: 'manual/42', cgroup: '/sys/fs/cgroup/a', slot: 1, generation: '0123456789ab', inForce: true },
  ...{ egressBytesPerSecond: 1_500_000, ingressBytesPerSecond: null, ingressQueue: false, dscp: null },
  counters: { egress: verdicts, ingress: { ...verdicts, passed: none } },
};

test('nothing is told as such', () => {
  expect(formatList([])).toBe('Nothing is limited on this machine.');
});

test('a table has the rates as one writes them', () => {
  expect(formatList([entry])).toBe(
    [
      'OWNER      EGRESS  INGRESS  RECEIVING  DSCP  PASSED BYTES  DROPPED PACKETS  CGROUP',
      'manual/42  1.5M    -        -          -     200/0         3/3              /sys/fs/cgroup/a',
    ].join('\n'),
  );
});

test('how what is received is limited is told', () => {
  const limited = { ...entry, ingressBytesPerSecond: 1_000_000 };
  expect(formatList([limited])).toMatch(/ 1M +policed /);
  expect(formatList([{ ...limited, ingressQueue: true }])).toMatch(/ 1M +queued /);
});

test('what is gone, or not in force, is marked', () => {
  expect(formatList([{ ...entry, cgroup: null, inForce: false }])).toContain('(gone) (not in force)');
});

test('a mark is told with its name', () => {
  expect(formatList([{ ...entry, dscp: 46 }])).toContain(' 46 (EF) ');
});
