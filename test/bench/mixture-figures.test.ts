import { expect, test } from 'vitest';
import { judge } from '../../bench/bars/bar.ts';
import { bars } from '../../bench/bars/bars.ts';
import { mixtureFigures } from '../../bench/mixture/figures.ts';
import { ports, serviceOf } from '../../bench/mixture/ports.ts';
import type { MixtureRecording } from '../../bench/mixture/recording.ts';
import { idleConnections, mixture, shortConnections } from '../../bench/scenarios/mixtures.ts';

const START = 1_000_000;
const END = 5_000_000;
const rate = 1_000_000;
const load = shortConnections(10);
const scenario = mixture('bulk beside 10/s', 'ingress', { rate }, { flows: 2, requests: [load] });
const times = Array.from({ length: 251 }, (_, index) => index * 20_000);
const carried = (us: number, share: number) => (Math.max(0, us - START) / 1e6) * rate * share;

/** Two flows with 0.8 of the limit and requests with 0.1, from START on. */
const recording: MixtureRecording = {
  startUs: START,
  endUs: END,
  services: times.map((us) => {
    const bytes = Array<number>(16).fill(0);
    bytes[serviceOf(ports.bulk)] = carried(us, 0.8);
    bytes[serviceOf(ports.short)] = carried(us, 0.1);
    bytes[serviceOf(ports.ping)] = carried(us, 0.02);
    return { us, bytes };
  }),
  bulk: times.map((us) => ({ us, flows: [carried(us, 0.4), carried(us, 0.3)] })),
  datagrams: [],
  requests: [
    {
      load,
      done: [
        { us: 1_500_000, tookUs: 9_000, bytes: 200 },
        { us: 3_000_000, tookUs: 1_000, bytes: 200 },
        { us: 4_000_000, tookUs: -1, bytes: 0 },
        { us: END, tookUs: 3_000_000, bytes: 0 },
      ],
      received: times.map((us) => ({ us, bytes: carried(us, 0.05) })),
    },
  ],
  pings: times.map((us) => ({ us, answeredAfterUs: us < START ? 50 : 80 })),
  segments: [
    { us: 2_000_000, sent: 1000, resent: 10 },
    { us: 4_000_000, sent: 1960, resent: 50 },
  ],
  programs: { queueNs: 300 },
};

test('the limit is split into bulk, short and lost', () => {
  const figures = mixtureFigures(recording, scenario);
  expect(figures.bulk).toBeCloseTo(0.8);
  expect(figures.bulkGoodput).toBeCloseTo(0.7);
  expect(figures.short).toBeCloseTo(0.1);
  expect(figures.used).toBeCloseTo(0.9);
  expect(figures.ip).toBeCloseTo(0.92);
  expect(figures.goodput).toBeCloseTo(0.75);
  expect(figures).toMatchObject({ resent: 4, queueNs: 300 });
  expect(figures.lost).toBeCloseTo((40 * 1500) / (2 * rate));
});

test('a request that still waits counts as long as it has waited, and one before the first second does not count', () => {
  expect(mixtureFigures(recording, scenario)).toMatchObject({ request: 1, requestP99: 3000, failed: 1, done: 1 });
});

test('pings before the load are idle pings', () => {
  expect(mixtureFigures(recording, scenario)).toMatchObject({ idlePing: 0.05, ping: 0.08 });
});

test('bulk beside idle connections is judged by bulk alone in the same run', () => {
  const alone = mixture('1 bulk', 'ingress', { rate }, { flows: 1 });
  const beside = mixture(
    '1 bulk beside 1000 idle',
    'ingress',
    { rate },
    { flows: 1, requests: [idleConnections(1000)] },
  );
  const results = [
    { scenario: alone, peers: { podrate: { bulk: 0.96 } } },
    { scenario: beside, peers: { podrate: { bulk: 0.9 } } },
  ];
  const [judgement] = judge(bars, results);
  expect(judgement?.bounds.least).toBeCloseTo(0.97 * 0.96);
  expect(judgement?.missedBy).toBeGreaterThan(0);
  expect(judge(bars, results.slice(1))).toEqual([]);
});
