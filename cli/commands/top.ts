/** What flows through limits, second by second. */

import type { Node } from '../../nodeagent/open-node.ts';
import type { Verdicts } from '../../nodeagent/shaper/layout.ts';
import { type Direction, directions } from '../../rate/limit.ts';
import { CommandError } from '../errors.ts';
import type { Limited } from '../limit/listed.ts';
import { formatTable } from '../table.ts';
import { listLimits } from './list.ts';

/** What one direction of a limited cgroup did since the look before. */
export interface Flow {
  /** Bytes per second; null without limit. */
  readonly limitBytesPerSecond: number | null;
  readonly bytesPerSecond: number;
  readonly delayedPacketsPerSecond: number;
  readonly droppedPacketsPerSecond: number;
}

/** A limited cgroup and what flowed through it. */
export type Busy = Pick<Limited, 'owner' | 'cgroup'> & Readonly<Record<Direction, Flow>>;

/**
 * Compares two looks. A cgroup that is only in the later one counts from zero: it was limited in between.
 * @param seconds time between the looks
 */
export function flowsBetween(before: readonly Limited[], after: readonly Limited[], seconds: number): Busy[] {
  return after.map((now) => {
    const then = before.find((one) => one.owner === now.owner && one.slot === now.slot);
    const flow = (direction: Direction, limitBytesPerSecond: number | null): Flow => {
      const rate = (value: (counters: Verdicts) => number) =>
        Math.round((value(now.counters[direction]) - (then ? value(then.counters[direction]) : 0)) / seconds);
      return {
        limitBytesPerSecond,
        bytesPerSecond: rate(({ passed }) => passed.bytes),
        delayedPacketsPerSecond: rate(({ delayed }) => delayed.packets),
        droppedPacketsPerSecond: rate(({ dropped }) => dropped.packets),
      };
    };
    return {
      ...{ owner: now.owner, cgroup: now.cgroup },
      egress: flow('egress', now.egressBytesPerSecond),
      ingress: flow('ingress', now.ingressBytesPerSecond),
    };
  });
}

/** Writes flows for people, the busiest first. */
export function formatFlows(flows: readonly Busy[]): string {
  if (flows.length === 0) return 'Nothing is limited on this machine.';
  const mega = (bytes: number) => (bytes / 1_000_000).toFixed(3);
  const cells = ({ limitBytesPerSecond: limit, ...flow }: Flow) => [
    mega(flow.bytesPerSecond),
    limit === null ? '-' : mega(limit),
    limit === null ? '-' : `${Math.round((100 * flow.bytesPerSecond) / limit)}%`,
    String(flow.delayedPacketsPerSecond),
    String(flow.droppedPacketsPerSecond),
  ];
  const total = ({ egress, ingress }: Busy) => egress.bytesPerSecond + ingress.bytesPerSecond;
  const header = directions.flatMap((direction) => [
    ...[`${direction.toUpperCase()} MB/s`, 'LIMIT', 'USED', 'DELAYED/s', 'DROPPED/s'],
  ]);
  return formatTable([
    [...header, 'CGROUP'],
    ...flows
      .toSorted((one, other) => total(other) - total(one))
      .map((busy) => [...cells(busy.egress), ...cells(busy.ingress), busy.cgroup ?? busy.owner]),
  ]);
}

/**
 * Looks again and again.
 * @param show gets what flowed since the look before; false ends it
 * @param wait waits for a time in ms
 * @param now a clock that never steps, in ms
 */
export async function top(
  node: Node,
  intervalSeconds: number,
  show: (flows: readonly Busy[]) => boolean,
  wait: (ms: number) => Promise<unknown>,
  now: () => number,
): Promise<void> {
  let [at, before] = [now(), await listLimits(node)];
  for (;;) {
    await wait(intervalSeconds * 1000);
    const [later, after] = [now(), await listLimits(node)];
    if (!show(flowsBetween(before, after, (later - at) / 1000))) return;
    [at, before] = [later, after];
  }
}

/** Reads the time between two looks, in seconds. @throws CommandError */
export function readInterval(text: string | undefined): number {
  const seconds = Number(text ?? '1');
  if (seconds >= 0.1 && seconds <= 3600) return seconds;
  throw new CommandError('cli/usage', `--interval ${text} is not a number of seconds from 0.1 to 3600`);
}
