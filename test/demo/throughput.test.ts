import { expect, test } from 'vitest';
import type { SocketSample } from '../../demo/socket-samples.ts';
import { secondsToSettle, steadyBytesPerSecond, throughputOverTime } from '../../demo/throughput.ts';

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

test('a change has settled at the end of the last window that was off', () => {
  const windows = [1, 1, 2.5, 3.9, 4, 4.1].map((rate, index) => ({ seconds: index, bytesPerSecond: rate * 1e6 }));
  expect(secondsToSettle(windows, 1.5, 4e6, 0.1)).toBeCloseTo(0.5);
});

test('a change that is never reached has no settling time', () => {
  const windows = [1, 1, 1].map((rate, index) => ({ seconds: index, bytesPerSecond: rate * 1e6 }));
  expect(secondsToSettle(windows, 0.5, 4e6, 0.1)).toBeUndefined();
  expect(secondsToSettle([], 0, 4e6, 0.1)).toBeUndefined();
});
