import { formatTable } from '../../../cli/table.ts';
import { formatValue } from '../../report/format.ts';
import { boundsText } from '../../report/summary.ts';
import type { Judgement } from './bars.ts';
import type { Report } from './report.ts';
import type { ScenarioResult } from './results.ts';

/** The findings as a person reads them in a terminal. */
export function summarize({ bars, results, runs, memory, rounds, quick, command }: Report): string {
  const reasons = runs.flatMap(({ scenario, variant, failures }) =>
    Object.entries(failures).map(([reason, count]) => `FAILED ${count} × ${scenario}, ${variant}: ${reason}`),
  );
  return [
    formatTable([figureHeading, ...results.flatMap(figureRows)], '─'),
    '',
    formatTable([['bar', 'value', 'in 9 of 10', 'bound', ''], ...bars.map(barRow)], '─'),
    '',
    ...(reasons.length === 0 ? [] : [...reasons, '']),
    `Memory during the reviews, MB: ${memory.samples.map((value) => value.toFixed(0)).join(' ')}`,
    `podrate: ${command}`,
    `Of ${rounds} ${quick ? 'short ' : ''}round${rounds === 1 ? '' : 's'}: p50 and p99 of all requests together, failures are sums, the rest medians over the runs.`,
  ].join('\n');
}

const figureHeading = ['scenario', 'by', 'per second', 'p50 ms', 'p99 ms', 'p99 added', 'against peer', 'failed'];

/** One row for each variant. What is added is above `none`; a ratio is the variant's figure divided by the peer's. */
function figureRows({ scenario, variants }: ScenarioResult): string[][] {
  const { none, peer } = variants;
  return Object.entries(variants).map(([name, own]) => {
    const base = none?.p99 ?? (peer === undefined ? undefined : 0);
    const added = (p99: number | undefined) =>
      base === undefined || p99 === undefined || name === 'none' ? undefined : p99 - base;
    const [mine, theirs] = [added(own.p99), added(peer?.p99)];
    return [
      ...[scenario, name, formatValue(own.perSecond), formatValue(own.p50), formatValue(own.p99)],
      none === undefined ? '' : formatValue(mine),
      mine === undefined || theirs === undefined || name === 'peer' ? '' : `× ${formatValue(mine / theirs)}`,
      formatValue(own.failed),
    ];
  });
}

function barRow({ bar, value, interval, bounds, missedBy }: Judgement): string[] {
  const scatter = interval === undefined ? '' : interval.map(formatValue).join(' to ');
  return [bar, formatValue(value), scatter, boundsText(bounds), missedBy === 0 ? 'passed' : 'MISSED'];
}
