import type { TrafficScenario } from '../scenario.ts';
import type { Figures } from './definitions.ts';
import type { Ping, Recording } from './recording.ts';
import { bytesAt, type Point, rateBetween, settled, windows } from './series.ts';
import { deviation, jain, percentile, sum } from './statistics.ts';

const SECOND = 1e6;
const WINDOW = 100_000;
const LEAST_BYTES_FOR_CPU = 100e6;

/** Computes a run's figures. */
export function figuresOf(recording: Recording, scenario: TrafficScenario): Figures {
  const { startUs, source } = recording;
  // Beyond the last sample nothing is known.
  const endUs = Math.min(recording.endUs, recording.wire.at(-1)?.us ?? 0, recording.goodput.at(-1)?.us ?? Infinity);
  const { rate, direction, attachAt, changes, pauses, flood } = scenario;
  const wire = recording.wire.map(({ us, tcp, udp, all }) => ({ us, bytes: direction === 'egress' ? tcp + udp : all }));
  const begun = wire.find((point) => point.us >= startUs && point.bytes > bytesAt(wire, startUs) + 3000)?.us ?? startUs;
  const first = Math.max(startUs, begun - 20_000);
  const steady = attachAt === undefined ? first + SECOND : (recording.events[0] ?? first) + SECOND;
  const flows = recording.goodput.map(({ us, flows }) => ({ us, bytes: sum(flows) }));
  const share = (points: readonly Point[], from: number, to: number) => rateBetween(points, from, to) / rate;
  const pieces = windows(flows, steady, endUs, WINDOW).map((window) => window.rate / rate);
  const udp = recording.wire.map(({ us, udp }) => ({ us, bytes: udp }));
  const firstSecond = attachAt === undefined ? first : steady - SECOND;
  return {
    ip: share(wire, steady, endUs),
    ...(scenario.flows > 0 ? { goodput: share(flows, steady, endUs) } : {}),
    resent: source.sent > 0 ? (100 * source.resent) / source.sent : 0,
    broken: source.broken,
    ...(changes || pauses || scenario.flows === 0
      ? {}
      : { deviation: deviation(pieces), maximum: Math.max(...pieces) }),
    firstSecond: share(wire, firstSecond, firstSecond + SECOND),
    ...pingFigures(recording),
    ...(scenario.flows > 1 ? { jain: fairness(recording, steady) } : {}),
    ...(attachAt === undefined && !pauses && scenario.flows > 0 ? { stall: Math.max(...recording.stalls) / 1000 } : {}),
    ...cpuFigure(recording, bytesAt(wire, endUs) - bytesAt(wire, startUs + SECOND)),
    ...(flood ? { udp: share(udp, steady, endUs) } : {}),
    ...(pauses ? { afterPause: largestStart(wire, first, endUs, pauses) / rate } : {}),
    ...recording.programs,
    ...(changes ? { settle: slowestChange(recording, wire, changes) } : {}),
  };
}

/** Only where so much was carried that it is more than the harness's own noise. */
function cpuFigure({ cpuSeconds }: Recording, bytes: number): Figures {
  return bytes < LEAST_BYTES_FOR_CPU ? {} : { cpu: cpuSeconds / (bytes / 1e9) };
}

function pingFigures({ pings, startUs, endUs }: Recording): Figures {
  // One that waits for seconds counts in all the time that it waits.
  const of = (list: readonly Ping[], from: number, to: number, part: number) =>
    percentile(
      list.filter((ping) => ping.us + ping.answeredAfterUs >= from && ping.us < to).map((ping) => ping.answeredAfterUs),
      part,
    ) / 1000;
  const loaded = startUs + SECOND;
  return {
    idlePing: of(pings.limited, 0, startUs, 0.5),
    ping: of(pings.limited, loaded, endUs, 0.5),
    pingP99: of(pings.limited, loaded, endUs, 0.99),
    idleOtherPing: of(pings.other, 0, startUs, 0.5),
    otherPing: of(pings.other, loaded, endUs, 0.5),
    otherPingP99: of(pings.other, loaded, endUs, 0.99),
  };
}

function fairness({ goodput, endUs }: Recording, from: number): number {
  const last = goodput.findLast(({ us }) => us <= endUs);
  const start = goodput.find(({ us }) => us >= from);
  return jain((last?.flows ?? []).map((bytes, flow) => bytes - (start?.flows[flow] ?? 0)));
}

/** The largest first second of a turn, the first turn aside: that one follows no pause. */
function largestStart(
  wire: readonly Point[],
  first: number,
  end: number,
  { on, off }: { on: number; off: number },
): number {
  const starts: number[] = [];
  for (let at = first + (on + off) * SECOND; at + SECOND <= end; at += (on + off) * SECOND) starts.push(at);
  return Math.max(...starts.map((at) => rateBetween(wire, at, at + SECOND)));
}

function slowestChange(recording: Recording, wire: readonly Point[], changes: readonly { rate: number }[]): number {
  const times = changes.map(({ rate }, index) => {
    const from = recording.events[index] ?? recording.endUs;
    const to = recording.events[index + 1] ?? recording.endUs;
    return settled(wire, from, to, rate, { lengthUs: 200_000, tolerance: 0.08 });
  });
  return Math.max(...times) / 1000;
}
