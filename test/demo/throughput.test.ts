import { expect, test } from 'vitest';
import type { SocketSample } from '../../demo/traffic/socket-samples.ts';
import { secondsToSettle, steadyBytesPerSecond, throughputOverTime } from '../../demo/traffic/throughput.ts';

const flow = (bytesAt: (seconds: number) => number, until = 6): SocketSample[] =>
  Array.from({ length: until * 10 + 1 }, (_, index) => ({
    seconds: 100 + index / 10,
    sentBytes: bytesAt(index / 10),
    receivedBytes: 0,
    connections: ['a b'],
  }));

test('the steady rate leaves the first second out', () => {
  const burst = flow((seconds) => (seconds === 0 ? 0 : 5_000_000 + 1_000_000 * seconds));
  expect(steadyBytesPerSecond(burst, 'egress')).toBeCloseTo(1_000_000, 0);
});

test('samples after the last connection closed do not dilute the rate', () => {
  const samples = flow((seconds) => 1_000_000 * seconds);
  const closed = { seconds: 110, sentBytes: 0, receivedBytes: 0, connections: [] };
  expect(steadyBytesPerSecond([...samples, closed], 'egress')).toBeCloseTo(1_000_000, 0);
});

test('a flow that is too short to measure is an error and not a number', () => {
  expect(() =>
    steadyBytesPerSecond(
      flow((seconds) => seconds, 1),
      'egress',
    ),
  ).toThrow(/less than two seconds/);
  expect(() => steadyBytesPerSecond([], 'ingress')).toThrow(/ingress/);
});

test('throughput over time has one value per window', () => {
  const windows = throughputOverTime(
    flow((seconds) => 2_000_000 * seconds),
    'egress',
    0.5,
  );
  expect(windows).toHaveLength(12);
  expect(windows[3]?.bytesPerSecond).toBeCloseTo(2_000_000, 0);
});

test('a change has settled when the means of the next seconds are the new rate', () => {
  const changed = flow((seconds) => 1e6 * Math.min(seconds, 2.5) + 4e6 * Math.max(0, seconds - 2.5));
  expect(secondsToSettle(changed, 'egress', 102, 4e6, 0.01)).toBeCloseTo(0.5, 5);
});

test('a change that is in force at once settles in no time', () => {
  const changed = flow((seconds) => 4e6 * seconds);
  expect(secondsToSettle(changed, 'egress', 102, 4e6, 0.01)).toBeCloseTo(0, 5);
});

test('a change that is never reached has no settling time', () => {
  expect(
    secondsToSettle(
      flow((seconds) => 1e6 * seconds),
      'egress',
      102,
      4e6,
      0.1,
    ),
  ).toBeUndefined();
  expect(secondsToSettle([], 'egress', 0, 4e6, 0.1)).toBeUndefined();
});
