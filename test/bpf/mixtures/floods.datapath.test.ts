import { expect, test } from 'vitest';
import { mixture, shortConnections } from '../../../bench/scenarios/mixtures.ts';
import { useMixtures } from './mixtures.ts';

const { run } = useMixtures();
const directions = ['ingress', 'egress'] as const;
const limit = { rate: 1e6 };
const kinds = ['syn', 'ack', 'udp'] as const;
const floods = directions.flatMap((direction) =>
  kinds.flatMap((kind) => [1.2, 10].map((times) => ({ direction, kind, times }))),
);

test.each(floods)(
  '$direction: a $kind flood of $times times the limit leaves room for a bulk flow and for new connections',
  async ({ direction, kind, times }) => {
    const parts = { flows: 1, requests: [shortConnections(20)], flood: { kind, times } };
    const figures = await run(mixture(`bulk beside ${kind} flood ${times}x`, direction, limit, parts));
    expect(figures.bulk).toBeGreaterThan(0.35);
    expect(figures.failed).toBe(0);
    expect(figures.request).toBeLessThan(100);
    expect(figures.ping).toBeLessThan(20);
  },
);

test.each(directions)(
  '%s: a TCP sender that never slows down leaves four honest flows their part',
  async (direction) => {
    const figures = await run(mixture('bulk beside a liar', direction, limit, { flows: 4, liar: 2 }));
    expect(figures.bulk).toBeGreaterThan(0.35);
    expect(figures.ping).toBeLessThan(20);
  },
);
