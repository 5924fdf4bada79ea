import { expect, test } from 'vitest';
import { figuresOf } from '../../bench/figures/figures.ts';
import type { Recording } from '../../bench/figures/recording.ts';
import { bulk } from '../../bench/scenarios/bulk.ts';

const START = 1_000_000;
const rate = 1_000_000;

/** Four seconds of two flows at `share` of the limit, after one idle second. */
function recording(share: number, weights: readonly number[] = [0.5, 0.5]): Recording {
  const times = Array.from({ length: 251 }, (_, index) => index * 20_000);
  const carried = (us: number) => Math.max(0, ((us - START) / 1e6) * rate * share);
  return {
    startUs: START,
    endUs: 5_000_000,
    wire: times.map((us) => ({ us, tcp: carried(us), udp: 0, all: 2 * carried(us) })),
    goodput: times.map((us) => ({ us, flows: weights.map((weight) => weight * carried(us)) })),
    stalls: [4000, 31_000],
    source: { sent: 4e6, resent: 4000, broken: 0 },
    pings: {
      limited: times.map((us) => ({ us, answeredAfterUs: us < START ? 50 : 80 })),
      other: times.map((us) => ({ us, answeredAfterUs: 40 })),
    },
    cpuSeconds: 1,
    events: [],
    programs: { egressNs: 200 },
  };
}
const scenario = bulk('egress', [rate, 2, ['podrate']]);

test('shares are of the limit, of what the sender sent', () => {
  const figures = figuresOf(recording(0.9), scenario);
  expect(figures.ip).toBeCloseTo(0.9);
  expect(figures.goodput).toBeCloseTo(0.9);
  expect(figures.deviation).toBeCloseTo(0);
  expect(figures.maximum).toBeCloseTo(0.9);
  expect(figures.firstSecond).toBeGreaterThan(0.85);
});

test('a limited receiver is judged by what everybody sends it', () => {
  expect(figuresOf(recording(0.45), { ...scenario, direction: 'ingress' }).ip).toBeCloseTo(0.9);
});

test('bytes beyond the last sample are not taken for missing', () => {
  const { wire, ...rest } = recording(1);
  const figures = figuresOf({ ...rest, wire: wire.slice(0, -20) }, scenario);
  expect(figures.ip).toBeCloseTo(1);
});

test('pings before the flows are idle pings', () => {
  expect(figuresOf(recording(1), scenario)).toMatchObject({ idlePing: 0.05, ping: 0.08, otherPing: 0.04 });
});

test('a ping that waits from before the load to the end counts as under load', () => {
  const { pings, ...rest } = recording(1);
  const lost = { ...pings, limited: [{ us: START, answeredAfterUs: 4_000_000 }] };
  expect(figuresOf({ ...rest, pings: lost }, scenario).ping).toBe(4000);
});

test('unequal flows, stalls and retransmits show', () => {
  const figures = figuresOf(recording(1, [1, 0]), scenario);
  expect(figures).toMatchObject({ stall: 31, resent: 0.1 });
  expect(figures.jain).toBeCloseTo(0.5);
});

test('processor time of little traffic is not told, because it would be the noise of the machine', () => {
  expect(figuresOf(recording(1), scenario).cpu).toBeUndefined();
  expect(figuresOf(recording(100), scenario).cpu).toBeCloseTo(1 / 0.3);
});
