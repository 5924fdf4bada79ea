import type { WireSample } from '../figures/recording.ts';
import { windows } from '../figures/series.ts';
import type { PeerName } from '../peers/all.ts';
import type { TrafficScenario } from '../scenario.ts';

/** Throughput of one run over time. */
export interface Curve {
  readonly scenario: string;
  readonly rate: number;
  readonly peer: PeerName;
  /** Seconds since the flows began; bytes per second over the 100 ms before. */
  readonly points: readonly { readonly seconds: number; readonly rate: number }[];
}

const WINDOW = 100_000;

/** The curve of a run's IP bytes. */
export function curveOf(
  scenario: TrafficScenario,
  peer: PeerName,
  startUs: number,
  wire: readonly WireSample[],
): Curve {
  const points = wire.map(({ us, tcp, udp, all }) => ({
    us,
    bytes: scenario.direction === 'egress' ? tcp + udp : all,
  }));
  return {
    ...{ scenario: scenario.name, rate: scenario.rate, peer },
    points: windows(points, startUs, points.at(-1)?.us ?? startUs, WINDOW).map(({ toUs, rate }) => ({
      seconds: (toUs - startUs) / 1e6,
      rate,
    })),
  };
}
