import { expect, test } from 'vitest';
import { estimateSeconds, planRuns } from '../../bench/plan.ts';
import { allScenarios } from '../../bench/scenarios/all.ts';
import { bulkScenarios } from '../../bench/scenarios/bulk.ts';

const all = { quick: false, rounds: 1, only: [], not: [] };

test('scenarios have names of their own', () => {
  expect(new Set(allScenarios.map(({ name }) => name)).size).toBe(allScenarios.length);
});

test('the quick choice fits four minutes', () => {
  const runs = planRuns(allScenarios, { ...all, quick: true }, Math.random);
  expect(estimateSeconds(runs, true)).toBeLessThan(230);
});

test('each round has every peer once, in an order of its own', () => {
  const scenario = allScenarios.find(({ name }) => name === 'egress 1MB/s 1 flow');
  const descending = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];
  let next = 0;
  const runs = planRuns(scenario ? [scenario] : [], { ...all, rounds: 2 }, () => descending[next++] ?? 0);
  expect(runs.filter(({ round }) => round === 0).map(({ peer }) => peer)).toEqual(scenario?.peers.toReversed());
  expect(runs.filter(({ round }) => round === 1).map(({ peer }) => peer)).toEqual(scenario?.peers);
});

test('only scenarios and peers with all the words run, and none with a word that is not wanted', () => {
  const runs = planRuns(bulkScenarios, { ...all, only: ['egress', '10MB/s', 'bbr', 'podrate'] }, Math.random);
  expect(runs.map(({ scenario, peer }) => `${scenario.name}, ${peer}`)).toEqual([
    'egress 10MB/s 1 flow bbr, podrate',
    'egress 10MB/s 8 flows bbr, podrate',
  ]);
  const others = planRuns(bulkScenarios, { ...all, only: ['egress', '10MB/s', 'bbr'], not: ['8', 'podrate'] }, () => 0);
  expect(others.length).toBeGreaterThan(0);
  expect(new Set(others.map(({ scenario }) => scenario.name))).toEqual(new Set(['egress 10MB/s 1 flow bbr']));
  expect(others.map(({ peer }) => peer)).not.toContain('podrate');
});
