import { expect, test } from 'vitest';
import { formatChange, reportChange } from '../../../cli/limit/change.ts';
import { configOfLimit } from '../../../nodeagent/pods/desired.ts';
import { parseRate } from '../../../rate/rate.ts';

const cgroup = { id: 42n, path: '/sys/fs/cgroup/backup' };
const slow = configOfLimit({ egress: parseRate('1M') });
const fast = configOfLimit({ egress: parseRate('5M'), ingress: parseRate('8M') });
const free = undefined;

test('a change is told to programs in one shape', () => {
  expect(reportChange({ cgroup, before: free, after: slow, warnings: [] })).toEqual({
    owner: 'manual/42',
    cgroup: '/sys/fs/cgroup/backup',
    inForce: true,
    egressBytesPerSecond: 1_000_000,
    ingressBytesPerSecond: null,
    ingressQueue: false,
    dscp: null,
    changed: true,
    warnings: [],
  });
  expect(reportChange({ cgroup, before: slow, after: free, warnings: ['Mind.'] })).toEqual({
    owner: 'manual/42',
    cgroup: '/sys/fs/cgroup/backup',
    inForce: false,
    egressBytesPerSecond: null,
    ingressBytesPerSecond: null,
    ingressQueue: false,
    dscp: null,
    changed: true,
    warnings: ['Mind.'],
  });
});

test.each([
  [slow, slow, false],
  [slow, fast, true],
  [slow, configOfLimit({ egress: parseRate('1M') }, 20), true],
  [free, free, false],
])('from %j to %j is a change: %s', (before, after, changed) => {
  expect(reportChange({ cgroup, before, after, warnings: [] }).changed).toBe(changed);
});

test('a mark is a part of the change', () => {
  const mark = (before: number | undefined, after: number | undefined) => ({ mark: { before, after } });
  const same = { cgroup, before: slow, after: slow, warnings: [] };
  expect(reportChange({ ...same, ...mark(undefined, 46) })).toMatchObject({ dscp: 46, changed: true });
  expect(reportChange({ ...same, ...mark(46, 46) })).toMatchObject({ dscp: 46, changed: false });
  expect(reportChange({ ...same, ...mark(46, undefined) })).toMatchObject({ dscp: null, changed: true });
  expect(formatChange({ ...same, ...mark(46, 8) })).toMatch(
    /without limit\. Its packets carry the code point 8 \(CS1\)\.$/,
  );
});

test('a change is told to people in a sentence, with the warnings below', () => {
  expect(formatChange({ cgroup, before: slow, after: fast, warnings: ['Mind.'] })).toBe(
    '/sys/fs/cgroup/backup: It sends at most 5M (5000000 bytes/s) and receives at most 8M (8000000 bytes/s), policed.\nMind.',
  );
  expect(formatChange({ cgroup, before: slow, after: { ...fast, queued: true }, warnings: [] })).toMatch(
    /8M \(8000000 bytes\/s\), through a queue\.$/,
  );
  expect(formatChange({ cgroup, before: slow, after: free, warnings: [] })).toContain('is no longer limited.');
  expect(formatChange({ cgroup, before: free, after: free, warnings: [] })).toContain('is not limited.');
});
