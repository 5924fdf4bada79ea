import { formatTable } from '../../cli/table.ts';
import type { Bounds, Judgement } from '../bars/bar.ts';
import type { ScenarioResult } from '../figures/results.ts';
import { formatValue } from './format.ts';
import { type Report, summarizeBars } from './report.ts';

/** The findings as a person reads them in a terminal. */
export function summarize(report: Report): string {
  const ratios = report.medians.flatMap(ratioRows);
  const missed = report.bars.filter(({ missedBy }) => missedBy > 0);
  return [
    formatTable([['bar', 'met', 'worst', 'bound', 'in'], ...summarizeBars(report.bars).map(barRow)], '─'),
    '',
    ...(missed.length === 0 ? ['Every bar that was judged is met.'] : missed.map(missedLine)),
    ...report.failures.map(({ scenario, peer, error }) => `FAILED ${scenario}, ${peer}: ${error}`),
    '',
    ...(ratios.length === 0 ? [] : ['podrate and its peers', formatTable([ratioHeading, ...ratios], '─'), '']),
    report.quick
      ? `Quick: ${report.rounds} short round${report.rounds === 1 ? '' : 's'} of a choice of scenarios, so a single hiccup of the machine shows; without --quick figures are medians of five rounds.`
      : `Figures are medians of ${report.rounds} rounds.`,
  ].join('\n');
}

/** Bounds in words. */
export function boundsText({ least, most }: Bounds): string {
  if (least === undefined) return `≤ ${formatValue(most)}`;
  return most === undefined ? `≥ ${formatValue(least)}` : `${least} to ${most}`;
}

/** One missed bar in words. */
export function missedLine({ bar, scenario, value, bounds, missedBy }: Judgement): string {
  const side = value < (bounds.least ?? -Infinity) ? 'below' : 'above';
  const how = Number.isFinite(missedBy) ? `by ${formatValue(missedBy)} ${side}` : 'not measured';
  return `MISSED ${bar}: ${formatValue(value)}, bound ${boundsText(bounds)}, ${how} (${scenario})`;
}

const barRow = ({ bar, judged, met, worst }: ReturnType<typeof summarizeBars>[number]): string[] => [
  bar,
  met === judged ? `${met} of ${judged}` : `MISSED ${judged - met} of ${judged}`,
  formatValue(worst.value),
  boundsText(worst.bounds),
  worst.scenario,
];

/** What ratioRows has in its columns. "a : b" is podrate's figure and the peer's, "×" podrate's divided by the peer's. */
export const ratioHeading = [
  'scenario',
  'peer',
  'IP/limit',
  'goodput ×',
  'deviation ×',
  'first second',
  'ping p50 ×',
  'resent %',
  'Jain',
  'stall ms',
  'request p99 ms',
  'CPU ×',
];

/** One row for each peer that ran beside podrate. */
export function ratioRows({ scenario, peers }: ScenarioResult): string[][] {
  const { podrate, ...others } = peers;
  if (podrate === undefined) return [];
  if (scenario.kind === 'many') return [];
  return Object.entries(others).map(([name, theirs]) => {
    const pair = (figure: keyof typeof theirs) =>
      podrate[figure] === undefined ? '' : `${formatValue(podrate[figure])} : ${formatValue(theirs[figure])}`;
    const ratio = (figure: keyof typeof theirs) => {
      const [own, other] = [podrate[figure], theirs[figure]];
      return own === undefined || other === undefined || other <= 0 ? '' : formatValue(own / other);
    };
    return [
      ...[scenario.name, name, pair('ip'), ratio('goodput'), ratio('deviation'), pair('firstSecond'), ratio('ping')],
      ...[pair('resent'), pair('jain'), pair('stall'), pair('requestP99'), ratio('cpu')],
    ];
  });
}
