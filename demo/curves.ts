import type { LiveChange } from './live-change.ts';
import type { Curve } from './plot.ts';
import type { DemoPod } from './pods.ts';
import type { SocketSample } from './socket-samples.ts';
import { type Direction, throughputOverTime } from './throughput.ts';

/** Short enough to show bursts, long enough to hold some packets at 1 MB/s. */
const WINDOW_SECONDS = 0.25;

/** One curve per pod for a run in one direction. */
export function directionCurves(
  direction: Direction,
  pods: readonly DemoPod[],
  samplesByPod: ReadonlyMap<string, readonly SocketSample[]>,
): Curve[] {
  const panel = direction === 'egress' ? 'what the pods send' : 'what the pods receive';
  return pods.map((pod) => ({
    panel,
    pod: pod.name,
    points: points(samplesByPod.get(pod.name) ?? [], direction, () => pod.limitBytesPerSecond),
  }));
}

/** The curve of a label that changes under traffic. */
export function liveChangeCurve(
  pod: DemoPod,
  change: LiveChange,
  to: { label: string; limitBytesPerSecond: number },
): Curve {
  const limitAt = (seconds: number) => (seconds < change.changedAt ? pod.limitBytesPerSecond : to.limitBytesPerSecond);
  return {
    panel: `${pod.name} sends, and its label becomes ${to.label}`,
    pod: pod.name,
    points: points(change.samples, 'egress', limitAt),
  };
}

function points(samples: readonly SocketSample[], direction: Direction, limitAt: (seconds: number) => number) {
  const flowing = samples.filter((sample) => sample.connections.length > 0);
  const start = flowing[0]?.seconds ?? 0;
  return throughputOverTime(flowing, direction, WINDOW_SECONDS).map(({ seconds, bytesPerSecond }) => ({
    seconds: seconds - start,
    bytesPerSecond,
    limit: limitAt(seconds),
  }));
}
