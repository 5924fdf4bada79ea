import type { Bar } from '../bars/bar.ts';
import { always, partOfPlugin, partOfScenario, timesPlugin } from '../bars/bounds.ts';
import type { Scenario } from '../scenario.ts';
import { beside, besideIdle, calm, keepAlive, liar, offload, packetFlood, probe, transfers } from './conditions.ts';

const withoutIdle = ({ name }: Scenario) => name.replace(' beside 1000 idle', '');

/** What podrate promises for mixed traffic. */
export const mixtureBars: readonly Bar[] = [
  bar('bulk beside 20 to 300 short connections a second', beside(20, 300), 'used', always({ least: 0.95 })),
  bar('bulk beside 1,000 short connections a second', beside(1000, 1000), 'used', always({ least: 0.9 })),
  bar(
    'short connections beside bulk, p99, against CNI (ms)',
    beside(20, 1000),
    'requestP99',
    timesPlugin(1, 'requestP99'),
  ),
  bar('transfers over new connections, against CNI', transfers, 'goodput', partOfPlugin(0.98, 'goodput')),
  bar('transfers over new connections, p99, against CNI (ms)', transfers, 'requestP99', timesPlugin(1.1, 'requestP99')),
  bar(
    'bulk beside 1,000 idle connections, against bulk alone',
    besideIdle,
    'bulk',
    partOfScenario(0.97, 'bulk', withoutIdle),
  ),
  bar('keep-alive clients, against CNI', keepAlive, 'goodput', partOfPlugin(1, 'goodput')),
  bar('keep-alive clients, p50, against CNI (ms)', keepAlive, 'request', timesPlugin(1, 'request')),
  bar('keep-alive clients, p99, against CNI (ms)', keepAlive, 'requestP99', timesPlugin(1, 'requestP99')),
  bar('ping beside mixtures, against CNI / 5 (ms)', calm, 'ping', timesPlugin(1 / 5, 'ping')),
  bar('datagrams that react to loss', offload, 'udp', always({ least: 0.9 })),
  bar('packet flood leaves a bulk flow its part', packetFlood, 'bulk', always({ least: 0.45 })),
  bar('packet flood leaves the ping alone, p99 (ms)', packetFlood, 'pingP99', always({ most: 5 })),
  bar('packet flood lets new connections in', packetFlood, 'failed', always({ most: 0 })),
  bar('a liar leaves honest senders their part', liar, 'bulk', always({ least: 0.45 })),
  bar('no health check fails', probe, 'probeFailed', always({ most: 0 })),
];

function bar(what: string, applies: Bar['applies'], figure: Bar['figure'], bounds: Bar['bounds']): Bar {
  return { what, peer: 'podrate', applies, figure, bounds };
}
