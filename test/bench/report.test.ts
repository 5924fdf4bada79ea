import { expect, test } from 'vitest';
import { judge } from '../../bench/bars/bar.ts';
import { bars } from '../../bench/bars/bars.ts';
import { type RunResult, summarizeRuns } from '../../bench/figures/results.ts';
import { htmlReport } from '../../bench/report/html.ts';
import { drawPictures } from '../../bench/report/pictures.ts';
import type { Report } from '../../bench/report/report.ts';
import { summarize } from '../../bench/report/summary.ts';
import { bulk } from '../../bench/scenarios/bulk.ts';

const scenario = bulk('egress', [10e6, 8, ['podrate', 'cni-sane']]);
const run = (peer: RunResult['peer'], round: number, ip: number, ping: number): RunResult => ({
  ...{ scenario: scenario.name, peer, round },
  figures: { ip, ping, idlePing: 0.1, goodput: 0.95, resent: 0 },
});
const runs = [
  ...[run('podrate', 0, 1.0, 0.1), run('podrate', 1, 1.2, 0.2), run('podrate', 2, 1.01, 0.1)],
  run('cni-sane', 0, 0.98, 40),
];
const medians = summarizeRuns([scenario, bulk('egress', [5e6, 1, []])], runs);
const report: Report = {
  ...{ quick: true, rounds: 3, machine: { kernel: '6.1 <x>', processors: 2, node: 'v24' }, seconds: 65 },
  ...{ runs, medians, bars: judge(bars, medians) },
  failures: [{ scenario: scenario.name, peer: 'htb', error: 'no & HTB' }],
};
const curves = [
  { scenario: scenario.name, rate: 1e6, peer: 'podrate', points: [{ seconds: 0.1, rate: 1e6 }] } as const,
];

test('figures are medians over the rounds; scenarios that did not run are left out', () => {
  expect(medians).toHaveLength(1);
  expect(medians[0]?.peers.podrate).toMatchObject({ ip: 1.01, ping: 0.1 });
});

test('the summary names missed bars with value, bound and distance', () => {
  const text = summarize(report);
  expect(text).toContain(
    'MISSED TCP egress holds the limit: 1.01, bound 0.985 to 1.005, by 0.0050 above (egress 10MB/s 8 flows)',
  );
  expect(text).toContain('FAILED egress 10MB/s 8 flows, htb: no & HTB');
  expect(text).toMatch(/^egress 10MB\/s 8 flows +cni-sane +1\.01 : 0\.980 /m);
  expect(text).toContain('Quick: 3 short rounds');
});

test('the page loads nothing, and what it quotes is escaped', async () => {
  const html = htmlReport(report, await drawPictures(report, curves));
  expect(html).toContain('6.1 &lt;x&gt;');
  expect(html).toContain('no &amp; HTB');
  expect(html.match(/<img [^>]*src="data:image\/svg\+xml;base64,/g)?.length).toBeGreaterThanOrEqual(3);
  expect(html).not.toMatch(/(src|href)="(?!data:)/);
});

test('the picture of throughput has the limit and everybody in it', async () => {
  const [picture] = await drawPictures(report, curves);
  expect(picture?.name).toBe('throughput');
  expect(picture?.svg).toContain('limit 1MB/s');
  expect(picture?.svg).toContain('podrate');
});
