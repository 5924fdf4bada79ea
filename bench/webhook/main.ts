import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { defaultCache } from '../../test/cluster/config.ts';
import { installPackages } from '../../test/cluster/packages.ts';
import { benchmark } from './benchmark.ts';
import { help, parseOptions, type WebhookBenchOptions } from './options.ts';
import { buildPeer } from './peer.ts';
import { planRuns } from './plan.ts';
import { scenarios } from './scenarios.ts';
import { summarize } from './summary.ts';
import { openTestbed, type Testbed } from './testbed.ts';

process.exitCode = await main();

async function main(): Promise<number> {
  let options: WebhookBenchOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${help}`);
    return 2;
  }
  if (options.help) {
    console.log(help);
    return 0;
  }
  if (process.getuid?.() !== 0) {
    console.error('The benchmark starts a control plane in a network namespace: run it as root.');
    return 1;
  }
  return measure(options);
}

async function measure(options: WebhookBenchOptions): Promise<number> {
  const interrupt = new AbortController();
  const { signal } = interrupt;
  // Not `once`: execa ends the process when it finds no other listener while one of its programs runs.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupt.abort(name));
  const say = (line: string) => console.log(line);
  let bed: Testbed | undefined;
  try {
    const context = { step: 'bench', log: join(tmpdir(), 'podrate-bench-webhook.log'), signal };
    await installPackages(['controlplane'], context, (text) => say(`packages: ${text}`));
    say('Go webhook');
    const peer = await buildPeer(defaultCache(), context);
    bed = await openTestbed(peer, signal, say);
    const runs = planRuns(scenarios, options.rounds, Math.random);
    const report = await benchmark(bed, runs, { ...options, signal, say });
    console.log(`\n${summarize(report)}`);
    if (options.json !== undefined) {
      await mkdir(dirname(options.json), { recursive: true });
      await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
      say(`written: ${options.json}`);
    }
    return report.bars.every(({ missedBy }) => missedBy === 0) ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return 130;
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await bed?.close();
  }
}
