import { expect, test } from 'vitest';
import { plotThroughput } from '../../demo/report/plot.ts';

test('the plot is one self-contained SVG that names its panels and pods', async () => {
  const points = [
    { seconds: 0, bytesPerSecond: 0, limit: 1e6 },
    { seconds: 1, bytesPerSecond: 1e6, limit: 1e6 },
  ];
  const svg = await plotThroughput('Throughput', [{ panel: 'sends', pod: 'rate-1m', points }]);
  expect(svg).toMatch(/^<svg/);
  expect(svg).toContain('rate-1m');
  expect(svg).toContain('sends');
  expect(svg).not.toContain('href');
});
