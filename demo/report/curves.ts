import type { Direction } from '../../rate/limit.ts';
import type { DemoPod } from '../pods.ts';
import type { LiveChange, NewLimit } from '../traffic/live-change.ts';
import { type SocketSample, whileFlowing } from '../traffic/socket-samples.ts';
import { throughputOverTime } from '../traffic/throughput.ts';
import type { Curve } from './plot.ts';

/** Short enough to show bursts, long enough to hold some packets at 1 MB/s. */
const WINDOW_SECONDS = 0.4;

/** The curve of a pod's flow in one direction. */
export function directionCurve(direction: Direction, pod: DemoPod, samples: readonly SocketSample[]): Curve {
  return {
    panel: direction === 'egress' ? 'what the pods send' : 'what the pods receive',
    pod: pod.name,
    points: points(samples, direction, () => pod.limitBytesPerSecond),
  };
}

/** The curve of a label that changes under traffic. */
export function liveChangeCurve(pod: DemoPod, change: LiveChange, to: NewLimit): Curve {
  const limitAt = (seconds: number) => (seconds < change.changedAt ? pod.limitBytesPerSecond : to.limitBytesPerSecond);
  return {
    panel: `${pod.name} sends, and its label becomes ${to.label}`,
    pod: pod.name,
    points: points(change.samples, 'egress', limitAt),
  };
}

function points(samples: readonly SocketSample[], direction: Direction, limitAt: (seconds: number) => number) {
  const flowing = whileFlowing(samples);
  const start = flowing[0]?.seconds ?? 0;
  return throughputOverTime(flowing, direction, WINDOW_SECONDS).map(({ seconds, bytesPerSecond }) => ({
    seconds: seconds - start,
    bytesPerSecond,
    limit: limitAt(seconds),
  }));
}
