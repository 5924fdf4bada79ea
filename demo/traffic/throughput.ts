import type { Direction } from '../../rate/limit.ts';
import type { SocketSample } from './socket-samples.ts';

/** Bytes per second over one window; `seconds` is the window's end. */
export interface Throughput {
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

/**
 * Throughput over time, one value per window.
 *
 * @param windowSeconds Shortest window; a window ends at the first sample that is at least this much later.
 */
export function throughputOverTime(
  samples: readonly SocketSample[],
  direction: Direction,
  windowSeconds: number,
): Throughput[] {
  const windows: Throughput[] = [];
  let start = samples[0];
  for (const sample of samples.slice(1)) {
    if (!start || sample.seconds - start.seconds < windowSeconds) continue;
    windows.push({ seconds: sample.seconds, bytesPerSecond: ratio(start, sample, direction) });
    start = sample;
  }
  return windows;
}

/**
 * Mean bytes per second from one second after the flow's first byte to the last sample.
 *
 * @throws Error when the flow was too short to tell.
 */
export function steadyBytesPerSecond(samples: readonly SocketSample[], direction: Direction): number {
  const firstByte = samples.find((sample) => bytes(sample, direction) > 0);
  const start = samples.find((sample) => firstByte && sample.seconds >= firstByte.seconds + 1);
  const end = samples.findLast((sample) => sample.connections.length > 0);
  if (!start || !end || end.seconds - start.seconds < 1) {
    throw new Error(
      `The ${direction} flow lasted less than two seconds: ${samples.length} samples, nothing to measure.`,
    );
  }
  return ratio(start, end, direction);
}

/**
 * Seconds from `changedAt` until the new rate holds: until the mean over every second that begins within the next two is
 * within `tolerance` of `target`. What happens later is no part of the change. Undefined when that never happens.
 *
 * @param tolerance Fraction of the target, e.g. 0.1.
 */
export function secondsToSettle(
  samples: readonly SocketSample[],
  direction: Direction,
  changedAt: number,
  target: number,
  tolerance: number,
): number | undefined {
  const means = samples
    .filter((start) => start.seconds >= changedAt)
    .flatMap((start) => {
      const end = samples.find((sample) => sample.seconds >= start.seconds + 1);
      return end ? [{ seconds: start.seconds, bytesPerSecond: ratio(start, end, direction) }] : [];
    });
  const holds = (start: number) =>
    means
      .filter(({ seconds }) => seconds >= start && seconds <= start + 2)
      .every((mean) => Math.abs(mean.bytesPerSecond - target) <= tolerance * target);
  const settled = means.find(({ seconds }) => holds(seconds));
  return settled && settled.seconds - changedAt;
}

function bytes(sample: SocketSample, direction: Direction): number {
  return direction === 'egress' ? sample.sentBytes : sample.receivedBytes;
}

function ratio(start: SocketSample, end: SocketSample, direction: Direction): number {
  return (bytes(end, direction) - bytes(start, direction)) / (end.seconds - start.seconds);
}
