import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { defaultCache } from '../../test/cluster/build/config.ts';
import { installPackages } from '../../test/cluster/build/packages.ts';
import { runCommand, writeResult } from '../command.ts';
import { benchmark } from './benchmark.ts';
import { help, parseOptions, type WebhookBenchOptions } from './options.ts';
import { planRuns } from './plan.ts';
import { summarize } from './results/summary.ts';
import { chooseScenarios, scenarios } from './scenarios.ts';
import { buildPeer } from './testbed/peer.ts';
import { openTestbed, type Testbed } from './testbed/testbed.ts';

process.exitCode = await runCommand({ help, parse: parseOptions, run });

async function run(options: WebhookBenchOptions, signal: AbortSignal): Promise<number> {
  if (process.getuid?.() !== 0) {
    console.error('The benchmark starts a control plane in a network namespace: run it as root.');
    return 1;
  }
  const chosen = chooseScenarios(options.only);
  if (chosen.length === 0) {
    console.error(`No scenario is named so; there are: ${scenarios.map(({ name }) => `"${name}"`).join(', ')}.`);
    return 2;
  }
  const say = (line: string) => console.log(line);
  let bed: Testbed | undefined;
  try {
    const context = { step: 'bench', log: join(tmpdir(), 'podrate-bench-webhook.log'), signal };
    await installPackages(['controlplane'], context, (text) => say(`packages: ${text}`));
    say('Go webhook');
    const peer = await buildPeer(defaultCache(), context);
    bed = await openTestbed(peer, signal, say);
    const runs = planRuns(chosen, options.rounds, Math.random);
    const report = await benchmark(bed, runs, { ...options, signal, say });
    console.log(`\n${summarize(report)}`);
    if (options.json !== undefined) await writeResult(options.json, `${JSON.stringify(report, null, 2)}\n`);
    return report.bars.every(({ missedBy }) => missedBy === 0) ? 0 : 1;
  } finally {
    await bed?.close();
  }
}
