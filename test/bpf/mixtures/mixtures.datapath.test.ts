import { expect, test } from 'vitest';
import { idleConnections, mixture, shortConnections, transfers } from '../../../bench/scenarios/mixtures.ts';
import { useMixtures } from './mixtures.ts';

const { run } = useMixtures();
const directions = ['ingress', 'egress'] as const;
const slow = { rate: 1e6 };
const faster = { rate: 10e6 };

test.each(directions)('%s: a bulk flow and 100 short connections a second share the limit', async (direction) => {
  const parts = { flows: 1, requests: [shortConnections(100)] };
  const figures = await run(mixture('bulk beside 100/s', direction, slow, parts));
  expect(figures.used).toBeGreaterThan(0.85);
  expect(figures.used).toBeLessThan(1.06);
  expect(figures.failed).toBe(0);
  expect(figures.request).toBeLessThan(20);
});

test.each(directions)('%s: eight bulk flows and 300 short connections a second share the limit', async (direction) => {
  const parts = { flows: 8, requests: [shortConnections(300)] };
  const figures = await run(mixture('bulk beside 300/s', direction, faster, parts));
  expect(figures.used).toBeGreaterThan(0.85);
  expect(figures.used).toBeLessThan(1.06);
  expect(figures.failed).toBe(0);
  expect(figures.request).toBeLessThan(20);
});

// One client waits for each answer, so at a higher limit a busy machine is what it measures.
const clientCounts = [
  { clients: 1, ...slow },
  { clients: 8, ...slow },
  { clients: 8, ...faster },
];

test.each(directions.flatMap((direction) => clientCounts.map((count) => ({ direction, ...count }))))(
  '$direction: $clients clients transfer objects of 10 KB at $rate bytes a second',
  async ({ direction, clients, rate }) => {
    const parts = { requests: [transfers(direction, 10e3, clients)] };
    const figures = await run(mixture('transfers', direction, { rate }, parts));
    expect(figures.goodput).toBeGreaterThan(0.65);
    expect(figures.requestP99).toBeLessThan(400);
    expect(figures.failed).toBe(0);
  },
);

test.each(directions)('%s: a thousand idle connections take nothing from a bulk flow', async (direction) => {
  const parts = { flows: 1, requests: [idleConnections(1000)] };
  const figures = await run(mixture('bulk beside idle', direction, slow, parts));
  expect(figures.bulk).toBeGreaterThan(0.85);
  expect(figures.bulk).toBeLessThan(1.06);
});
