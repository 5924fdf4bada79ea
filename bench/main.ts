import { join } from 'node:path';
import { benchmark } from './benchmark.ts';
import { runCommand, writeResult } from './command.ts';
import { type BenchOptions, help, parseOptions } from './options.ts';
import { estimateSeconds, planRuns, type Run } from './plan.ts';
import type { Curve } from './report/curves.ts';
import { formatDuration } from './report/format.ts';
import { htmlReport } from './report/html.ts';
import { drawPictures } from './report/pictures.ts';
import type { Report } from './report/report.ts';
import { summarize } from './report/summary.ts';
import { allScenarios } from './scenarios/all.ts';
import { prepare } from './testbed/prepare.ts';
import { openTestbed, type Testbed } from './testbed/testbed.ts';

process.exitCode = await runCommand({ help, parse: parseOptions, run });

async function run(options: BenchOptions, signal: AbortSignal): Promise<number> {
  const runs = planRuns(allScenarios, options, Math.random);
  if (runs.length === 0) {
    console.error(
      `No scenario has all these words: ${options.only.join(' ')}. --list${options.quick ? ' without --quick' : ''} shows the names.`,
    );
    return 2;
  }
  const estimate = `${runs.length} runs, about ${formatDuration(estimateSeconds(runs, options.quick))}`;
  if (options.list) {
    console.log(`${listed(runs)}\n\n${estimate}`);
    return 0;
  }
  const say = (line: string) => console.log(line);
  const programs = await prepare(say);
  let bed: Testbed | undefined;
  try {
    bed = await openTestbed('podrate-bench', programs);
    say(estimate);
    const { report, curves } = await benchmark(bed, runs, { ...options, signal, say });
    console.log(`\n${summarize(report)}`);
    await writeReports(report, curves, options);
    return report.failures.length === 0 && report.bars.every(({ missedBy }) => missedBy === 0) ? 0 : 1;
  } finally {
    await bed?.close();
    await programs.close();
  }
}

async function writeReports(
  report: Report,
  curves: readonly Curve[],
  { json, html, pictures: directory }: BenchOptions,
) {
  if (json !== undefined) await writeResult(json, `${JSON.stringify(report, null, 2)}\n`);
  if (html === undefined && directory === undefined) return;
  const pictures = await drawPictures(report, curves);
  if (html !== undefined) await writeResult(html, htmlReport(report, pictures));
  for (const { name, svg } of directory === undefined ? [] : pictures)
    await writeResult(join(directory ?? '', `${name}.svg`), svg);
}

/** Each scenario with its peers. */
function listed(runs: readonly Run[]): string {
  const names = [...new Set(runs.map(({ scenario }) => scenario.name))];
  return names
    .map(
      (name) =>
        `${name}: ${[...new Set(runs.filter(({ scenario }) => scenario.name === name).map(({ peer }) => peer))].join(', ')}`,
    )
    .join('\n');
}
