import { expect, test } from 'vitest';
import { judge, outside } from '../../bench/bars/bar.ts';
import { bars } from '../../bench/bars/bars.ts';
import type { Figures } from '../../bench/figures/definitions.ts';
import { summarizeBars } from '../../bench/report/report.ts';
import { allScenarios } from '../../bench/scenarios/all.ts';
import { bulk } from '../../bench/scenarios/bulk.ts';

const scenario = bulk('egress', [1e6, 8, ['podrate', 'cni-sane']]);
const judged = (podrate: Figures, cniSane?: Figures) =>
  judge(bars, [{ scenario, peers: { podrate, ...(cniSane ? { 'cni-sane': cniSane } : {}) } }]);
const missed = (podrate: Figures, cniSane?: Figures) =>
  judged(podrate, cniSane)
    .filter(({ missedBy }) => missedBy > 0)
    .map(({ bar }) => bar);

test('a value on the bound is inside, and outside tells by how much', () => {
  expect(outside(1.005, { least: 0.985, most: 1.005 })).toBe(0);
  expect(outside(1.105, { most: 1.005 })).toBeCloseTo(0.1);
  expect(outside(0.9, { least: 0.985 })).toBeCloseTo(0.085);
  expect(outside(Number.NaN, { least: 0 })).toBe(Infinity);
  expect(outside(1, { most: Number.NaN })).toBe(Infinity);
});

test('a limit that holds meets its bar, one that is exceeded or not used up misses it', () => {
  expect(missed({ ip: 1.001 })).toEqual([]);
  expect(missed({ ip: 1.01 })).toEqual(['TCP egress holds the limit']);
  expect(missed({ ip: 0.98 })).toEqual(['TCP egress holds the limit']);
});

test('bars against the CNI plugin are judged only where it ran beside podrate', () => {
  expect(judged({ ping: 5 })).toEqual([]);
  expect(missed({ idlePing: 0.1, ping: 0.15 }, { ping: 80 })).toEqual([]);
  expect(missed({ idlePing: 4, ping: 5 }, { ping: 80 })).toEqual(['ping under load, against CNI / 20 (ms)']);
});

test('every bar applies to some scenario, and each has a name of its own', () => {
  for (const bar of bars) expect(allScenarios.some(bar.applies), bar.what).toBe(true);
  expect(new Set(bars.map(({ what }) => what)).size).toBe(bars.length);
});

test('the bars judge podrate as it ships, not the variant without a queue', () => {
  const near = bulk('ingress', [10e6, 8, ['podrate', 'podrate-policed', 'cni-sane']], {});
  const peers = {
    podrate: { resent: 3, ping: 1.5, ip: 0.99 },
    'podrate-policed': { resent: 23, ping: 9, ip: 1.3 },
    'cni-sane': { resent: 3, ping: 30, ip: 0.99 },
  };
  const found = judge(bars, [{ scenario: near, peers }]);
  expect(found.map(({ bar, missedBy }) => [bar, missedBy])).toEqual([
    ['TCP ingress holds the limit', 0],
    ['TCP ingress resends, against CNI (%)', 0],
    ['TCP ingress, ping against CNI / 5 (ms)', 0],
  ]);
});

test('of the judgements of one bar the worst is shown', () => {
  const worse = bulk('egress', [10e6, 8, []]);
  const found = judge(bars, [
    { scenario, peers: { podrate: { ip: 1.0 } } },
    { scenario: worse, peers: { podrate: { ip: 1.2 } } },
  ]);
  const [summary] = summarizeBars(found);
  expect(summary).toMatchObject({ judged: 2, met: 1, worst: { scenario: worse.name } });
});
