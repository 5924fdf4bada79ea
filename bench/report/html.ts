import { definitions, type FigureName } from '../figures/definitions.ts';
import { allPeers } from '../peers/all.ts';
import { formatDuration, formatValue } from './format.ts';
import type { Picture } from './pictures.ts';
import { type Report, summarizeBars } from './report.ts';
import { boundsText, missedLine, ratioHeading, ratioRows } from './summary.ts';

/** The report as one HTML page that loads nothing. */
export function htmlReport(report: Report, pictures: readonly Picture[]): string {
  const { machine, rounds, quick, seconds } = report;
  const missed = report.bars.filter(({ missedBy }) => missedBy > 0);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>podrate: benchmark</title>
<style>${style}</style>
<h1>podrate: benchmark</h1>
<p>${rounds} ${rounds === 1 ? 'round' : 'rounds'}${quick ? ' (quick: a choice of scenarios, short runs)' : ''} in ${formatDuration(seconds)};
Linux ${escapeHtml(machine.kernel)}, ${machine.processors} processors. Figures are medians over the rounds; peers ran in random order on one
topology: pods on one bridge of one machine.</p>
${list(Object.values(allPeers).map(({ name, what }) => `<b>${name}</b>: ${escapeHtml(what)}`))}
<h2>Bars</h2>
${table(['bar', 'met', 'worst', 'bound', 'in'], summarizeBars(report.bars).map(barCells))}
${missed.length === 0 ? '<p>Every bar that was judged is met.</p>' : list(missed.map((one) => escapeHtml(missedLine(one))))}
${report.failures.length === 0 ? '' : list(report.failures.map((one) => escapeHtml(`FAILED ${one.scenario}, ${one.peer}: ${one.error}`)))}
<h2>Pictures</h2>
${pictures.map(image).join('\n')}
<h2>podrate and its peers</h2>
<p>"a : b" is podrate's figure and the peer's; "×" is podrate's divided by the peer's.</p>
${table(
  ratioHeading,
  report.medians.flatMap(ratioRows).map((row) => row.map(escapeHtml)),
)}
<h2>Every figure</h2>
${report.medians.map(figureTable).join('\n')}
<h2>What the figures are</h2>
${table(
  ['figure', 'is'],
  Object.entries(definitions).map(([name, text]) => [name, escapeHtml(text)]),
)}
</html>
`;
}

function figureTable({ scenario, peers }: Report['medians'][number]): string {
  const names = (Object.keys(definitions) as FigureName[]).filter((name) =>
    Object.values(peers).some((figures) => figures[name] !== undefined),
  );
  const body = Object.entries(peers).map(([peer, figures]) => [
    peer,
    ...names.map((name) => formatValue(figures[name])),
  ]);
  return `<details><summary>${escapeHtml(scenario.name)}</summary>${table(['', ...names], body)}</details>`;
}

const barCells = ({ bar, judged, met, worst }: ReturnType<typeof summarizeBars>[number]): string[] => [
  escapeHtml(bar),
  met === judged ? `${met} of ${judged}` : `<b class="missed">${met} of ${judged}</b>`,
  formatValue(worst.value),
  escapeHtml(boundsText(worst.bounds)),
  escapeHtml(worst.scenario),
];

function table(heading: readonly string[], body: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;
  return `<div class="wide"><table>${row(heading, 'th')}${body.map((cells) => row(cells, 'td')).join('\n')}</table></div>`;
}

/** As an image, because clip paths of plots on one page would get into each other's way. */
const image = ({ name, svg }: Picture) =>
  `<figure><img alt="${name}" src="data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}"></figure>`;

const list = (items: readonly string[]) => `<ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul>`;

/** Text as HTML. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

const style = `
body { font: 15px/1.5 sans-serif; color: #24292f; max-width: 1100px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2em .7em; border-bottom: 1px solid #d0d7de; text-align: left; white-space: nowrap }
.wide { overflow-x: auto }
figure { margin: 1em 0; overflow-x: auto }
summary { cursor: pointer; padding: .2em 0 }
.missed { color: #d1242f }
`;
