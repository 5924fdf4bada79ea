import type { Bar, Bounds } from './bar.ts';
import type { FigureName, Figures } from './figures.ts';
import type { ScenarioResult } from './results.ts';
import type { Scenario, TrafficScenario } from './scenario.ts';

/** The burst that podrate allows unless it is set: 10 ms of the limit. */
const BURST_SECONDS = 0.01;

const always = (bounds: Bounds) => () => bounds;
/** The plugin with a sane burst: with containerd's it has a first second without limit, longer queues and wider swings. */
const reference = ({ peers }: ScenarioResult, figure: FigureName) => peers['cni-sane']?.[figure];
const times = (factor: number, figure: FigureName) => (result: ScenarioResult) => {
  const value = reference(result, figure);
  return value === undefined ? undefined : { most: factor * value };
};
const timesIdle = (factor: number) => (_: ScenarioResult, own: Figures) =>
  own.idlePing === undefined ? undefined : { most: factor * own.idlePing };
const atLeast = (factor: number, figure: FigureName) => (result: ScenarioResult) => {
  const value = reference(result, figure);
  return value === undefined ? undefined : { least: factor * value };
};

type Condition = (scenario: TrafficScenario) => boolean;
const traffic = (condition: Condition) => (scenario: Scenario) => scenario.kind === 'traffic' && condition(scenario);
/** Long flows alone, nothing else happening to them. */
const isBulk: Condition = ({ flood, pauses, changes, attachAt }) =>
  !flood && !pauses && !changes && attachAt === undefined;
const egress = (condition: Condition = () => true) =>
  traffic((one) => isBulk(one) && one.direction === 'egress' && one.flows <= 100 && condition(one));
const ingress = (sender: TrafficScenario['sender']) =>
  traffic((one) => isBulk(one) && one.direction === 'ingress' && one.sender === sender);
const flood = (condition: Condition) => traffic((one) => one.flood !== undefined && condition(one));
const short = (scenario: Scenario) => scenario.kind === 'short';
const many = (pods: number) => (scenario: Scenario) => scenario.kind === 'many' && scenario.pods === pods;

/** What podrate promises. The same rows as the table in docs/benchmark.md. */
export const bars: readonly Bar[] = [
  bar(
    'TCP egress holds the limit',
    egress(({ rate }) => rate >= 1e6),
    'ip',
    always({ least: 0.985, most: 1.005 }),
  ),
  bar(
    'TCP egress holds 100 kB/s',
    egress(({ rate }) => rate < 1e6),
    'ip',
    always({ least: 0.96, most: 1.01 }),
  ),
  bar('TCP egress resends nothing (%)', egress(), 'resent', always({ most: 0.01 })),
  bar('ping under load, against idle (ms)', egress(), 'ping', timesIdle(2)),
  bar('ping under load, against CNI / 20 (ms)', egress(), 'ping', times(1 / 20, 'ping')),
  bar(
    'deviation of 100 ms windows',
    egress(({ rate }) => rate >= 5e6),
    'deviation',
    always({ most: 0.05 }),
  ),
  bar('deviation, against CNI', egress(), 'deviation', times(1, 'deviation')),
  bar('first second', egress(), 'firstSecond', always({ most: 1.05 + BURST_SECONDS })),
  bar(
    'first second after a pause',
    traffic(({ pauses }) => pauses !== undefined),
    'afterPause',
    always({ most: 1.05 + BURST_SECONDS }),
  ),
  bar(
    "Jain's index",
    egress(({ flows }) => flows > 1),
    'jain',
    always({ least: 0.99 }),
  ),
  bar(
    'longest stall, 8 flows at 1 MB/s (ms)',
    egress(({ rate, flows }) => rate === 1e6 && flows === 8),
    'stall',
    always({ most: 100 }),
  ),
  bar(
    '1 and 5 Gbit/s',
    egress(({ rate, flows }) => rate >= 125e6 && flows <= 8),
    'ip',
    always({ least: 0.98 }),
  ),
  bar(
    'CPU per GB, against CNI',
    egress(({ rate, flows }) => rate >= 125e6 && flows <= 8),
    'cpu',
    times(1.1, 'cpu'),
  ),
  bar(
    'flood is cut to the limit',
    flood(() => true),
    'ip',
    always({ least: 0.98, most: 1.01 }),
  ),
  bar(
    'flood leaves TCP its part',
    flood(({ flows }) => flows === 8),
    'goodput',
    always({ least: 0.45 }),
  ),
  bar(
    'flood leaves the ping alone, p99 (ms)',
    flood(() => true),
    'pingP99',
    always({ most: 5 }),
  ),
  bar(
    'flood leaves other pods alone, p99 (ms)',
    flood(() => true),
    'otherPingP99',
    always({ most: 5 }),
  ),
  bar('TCP ingress between podrate pods', ingress('ours'), 'ip', always({ least: 0.97, most: 1.005 })),
  bar('TCP ingress between podrate pods resends (%)', ingress('ours'), 'resent', always({ most: 0.1 })),
  bar('TCP ingress between podrate pods, ping against idle (ms)', ingress('ours'), 'ping', timesIdle(3)),
  bar('ingress from far strangers, against CNI', ingress('far stranger'), 'goodput', atLeast(0.95, 'goodput')),
  bar('ingress from far strangers resends, against CNI (%)', ingress('far stranger'), 'resent', times(1, 'resent')),
  bar('ingress from near strangers, against CNI', ingress('near stranger'), 'goodput', atLeast(0.95, 'goodput')),
  bar('ingress from near strangers resends (%)', ingress('near stranger'), 'resent', always({ most: 5 })),
  bar('short connections, against CNI', short, 'goodput', atLeast(1, 'goodput')),
  bar('no short connection fails', short, 'failed', always({ most: 0 })),
  bar('short connections p99, against CNI (ms)', short, 'requestP99', times(1.6, 'requestP99')),
  bar('short connections hold the limit', short, 'ip', always({ most: 1.01 })),
  bar(
    'live change settles (ms)',
    traffic(({ changes }) => changes !== undefined),
    'settle',
    always({ most: 200 }),
  ),
  bar(
    'live change breaks no connection',
    traffic(({ changes }) => changes !== undefined),
    'broken',
    always({ most: 0 }),
  ),
  bar('attach 1 pod (ms)', many(1), 'attach', always({ most: 5 })),
  bar('attach 250 pods (ms)', many(250), 'attach', always({ most: 150 })),
  bar('memory of 250 pods (MB)', many(250), 'memory', always({ most: 10 })),
  bar(
    '300 flows at 1 MB/s',
    traffic(({ flows }) => flows === 300),
    'ip',
    always({ most: 1.02 }),
  ),
  bar(
    'attach to running flows',
    traffic(({ attachAt }) => attachAt !== undefined),
    'ip',
    always({ least: 0.97, most: 1.01 }),
  ),
];

function bar(what: string, applies: Bar['applies'], figure: FigureName, bounds: Bar['bounds']): Bar {
  return { what, applies, figure, bounds };
}
