import { formatTable } from '../../cli/table.ts';
import { directions } from '../../rate/limit.ts';
import type { DemoPod } from '../pods.ts';
import { type DemoReport, outsideBounds } from './report.ts';

/** The findings as a person reads them: a table of pods, then one line per other finding. */
export function summarize(pods: readonly DemoPod[], report: DemoReport): string {
  const rows = pods.map((pod) => [
    pod.name,
    pod.label,
    pod.stamp,
    pod.condition,
    ...directions.map((direction) => {
      const found = report.pods.find(({ name, direction: its }) => name === pod.name && its === direction);
      return found ? (found.measuredBytesPerSecond / 1e6).toFixed(3) : '-';
    }),
  ]);
  const { from, to, secondsToSettle, connectionsBroken } = report.liveChange;
  const settled = secondsToSettle === null ? 'never settled' : `settled in ${secondsToSettle.toFixed(2)} s`;
  const outside = outsideBounds(report.pods);
  return [
    formatTable([['pod', 'rate', 'stamp', 'condition', 'sends MB/s', 'receives MB/s'], ...rows], '─'),
    '',
    `live change ${from} to ${to}: ${settled}, ${connectionsBroken} connections broken`,
    `rate=${report.refused.label} was refused: ${report.refused.message}`,
    outside.length === 0
      ? 'every rate is within its bounds: sent 0.97 to 1.03 of the limit, received 0.90 to 1.03'
      : `outside the bounds: ${outside.map(({ name, direction }) => `${name} ${direction}`).join(', ')}`,
  ].join('\n');
}
