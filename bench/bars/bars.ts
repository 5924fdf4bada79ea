import { mixtureBars } from '../mixture/bars.ts';
import type { Bar } from './bar.ts';
import { always, partOfPlugin, timesIdle, timesPlugin } from './bounds.ts';
import { change, egress, flood, ingress, late, many, pauses, short, traffic } from './conditions.ts';

/** The burst that podrate allows unless it is set: 10 ms of the limit. */
const BURST_SECONDS = 0.01;

const slow = egress(({ rate }) => rate < 1e6);
const ordinary = egress(({ rate }) => rate >= 1e6);
const fast = egress(({ rate }) => rate >= 5e6);
const gigabit = egress(({ rate, flows }) => rate >= 125e6 && flows <= 8);
const shared = egress(({ flows }) => flows > 1);
const eightSlow = egress(({ rate, flows }) => rate === 1e6 && flows === 8);
const crowd = traffic(({ flows }) => flows === 300);
const floodBesideTcp = flood(({ flows }) => flows === 8);

/** What podrate promises. The same rows as the table in docs/benchmark.md. */
export const bars: readonly Bar[] = [
  bar('TCP egress holds the limit', ordinary, 'ip', always({ least: 0.985, most: 1.005 })),
  bar('TCP egress holds 100 kB/s', slow, 'ip', always({ least: 0.96, most: 1.01 })),
  bar('TCP egress resends nothing (%)', egress(), 'resent', always({ most: 0.01 })),
  bar('ping under load, against idle (ms)', egress(), 'ping', timesIdle(2)),
  bar('ping under load, against CNI / 20 (ms)', egress(), 'ping', timesPlugin(1 / 20, 'ping')),
  bar('deviation of 100 ms windows', fast, 'deviation', always({ most: 0.05 })),
  bar('first second', egress(), 'firstSecond', always({ most: 1.05 + BURST_SECONDS })),
  bar('first second after a pause', pauses, 'afterPause', always({ most: 1.05 + BURST_SECONDS })),
  bar("Jain's index", shared, 'jain', always({ least: 0.99 })),
  bar('longest stall, 8 flows at 1 MB/s (ms)', eightSlow, 'stall', always({ most: 100 })),
  bar('1 and 5 Gbit/s', gigabit, 'ip', always({ least: 0.98 })),
  bar('CPU per GB, against CNI', gigabit, 'cpu', timesPlugin(1.1, 'cpu')),
  bar('flood is cut to the limit', flood(), 'ip', always({ least: 0.98, most: 1.01 })),
  bar('flood leaves TCP its part', floodBesideTcp, 'goodput', always({ least: 0.45 })),
  bar('flood leaves the ping alone, p99 (ms)', flood(), 'pingP99', always({ most: 5 })),
  bar('flood leaves other pods alone, p99 (ms)', flood(), 'otherPingP99', always({ most: 5 })),
  bar('TCP ingress holds the limit', ingress('near'), 'ip', always({ least: 0.97, most: 1.005 })),
  bar('TCP ingress resends, against CNI (%)', ingress('near'), 'resent', timesPlugin(1.1, 'resent')),
  bar('TCP ingress, ping against CNI / 5 (ms)', ingress('near'), 'ping', timesPlugin(1 / 5, 'ping')),
  bar('ingress from 20 ms away, against CNI', ingress('far'), 'goodput', partOfPlugin(0.95, 'goodput')),
  bar('ingress from 20 ms away resends, against CNI (%)', ingress('far'), 'resent', timesPlugin(1.1, 'resent')),
  bar('short connections, against CNI', short, 'goodput', partOfPlugin(1, 'goodput')),
  bar('no short connection fails', short, 'failed', always({ most: 0 })),
  bar('short connections p99, against CNI (ms)', short, 'requestP99', timesPlugin(1.6, 'requestP99')),
  bar('short connections hold the limit', short, 'ip', always({ most: 1.01 })),
  bar('live change settles (ms)', change, 'settle', always({ most: 200 })),
  bar('live change breaks no connection', change, 'broken', always({ most: 0 })),
  bar('attach 1 pod (ms)', many(1), 'attach', always({ most: 5 })),
  bar('attach 250 pods (ms)', many(250), 'attach', always({ most: 150 })),
  bar('memory of 250 pods (MB)', many(250), 'memory', always({ most: 10 })),
  bar('300 flows at 1 MB/s', crowd, 'ip', always({ most: 1.02 })),
  bar('attach to running flows', late, 'ip', always({ least: 0.97, most: 1.01 })),
  ...mixtureBars,
];

function bar(what: string, applies: Bar['applies'], figure: Bar['figure'], bounds: Bar['bounds']): Bar {
  return { what, peer: 'podrate', applies, figure, bounds };
}
