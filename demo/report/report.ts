import { writeFile } from 'node:fs/promises';
import type { Direction } from '../../rate/limit.ts';

/** One pod and direction, limit and measured rate in bytes per second of IP packets. */
export interface MeasuredPod {
  readonly name: string;
  readonly label: string;
  readonly direction: Direction;
  readonly limitBytesPerSecond: number;
  readonly measuredBytesPerSecond: number;
}

/** Every figure that the demo measured. `secondsToSettle` is null when the new rate was never reached. */
export interface DemoReport {
  readonly pods: readonly MeasuredPod[];
  readonly liveChange: {
    readonly from: string;
    readonly to: string;
    readonly secondsToSettle: number | null;
    readonly connectionsBroken: number;
  };
  readonly refused: { readonly label: string; readonly message: string };
  readonly seconds: { readonly setup: number; readonly cluster: number; readonly total: number };
}

/** Writes the report as indented JSON. */
export async function writeReport(file: string, report: DemoReport): Promise<void> {
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
}

/** How far measured rates may be from their limits: what is sent within 3 %, what is received from 10 % below to 3 % above. */
export function outsideBounds(pods: readonly MeasuredPod[]): MeasuredPod[] {
  return pods.filter(({ direction, limitBytesPerSecond, measuredBytesPerSecond }) => {
    const share = measuredBytesPerSecond / limitBytesPerSecond;
    return share > 1.03 || share < (direction === 'egress' ? 0.97 : 0.9);
  });
}
