import { parseArgs } from 'node:util';
import { type LevelResult, runCheck, runProject } from './run.ts';

const help = `Runs podrate's tests, level by level, and sets up whatever a level needs first.

  npm test                     every level
  npm test -- unit kernel      only these

Levels, in this order:
  types          tsc
  lint           biome
  unit           pure code, HTTP and TLS; no root
  controlplane   a real API server with etcd, controllers and kubectl; root, Go
  kernel         real programs on real cgroups; root
  datapath       real traffic through the shaper; root
  node           a real kubelet and containerd in a virtual machine; root, Go
  kernels        Linux 5.10, 6.1 and 6.12 in virtual machines, without Kubernetes; root

Exit code: 0 when nothing failed, 1 when something did, 2 for a wrong call.`;

type Level = (quiet: boolean) => Promise<LevelResult>;
const levels: Record<string, Level> = {
  types: (quiet) => runCheck('types', 'tsc', [], quiet),
  lint: (quiet) => runCheck('lint', 'biome', ['check', '.'], quiet),
  unit: (quiet) => runProject('unit', quiet),
  controlplane: (quiet) => runProject('controlplane', quiet),
  kernel: (quiet) => runProject('kernel', quiet),
  datapath: (quiet) => runProject('datapath', quiet),
  node: (quiet) => runProject('node', quiet),
  kernels: (quiet) => runProject('kernels', quiet),
};
// What runs side by side. The datapath level is alone because it measures, the others because their machines take all processors.
const groups = [['types', 'lint'], ['unit', 'kernel', 'controlplane'], ['datapath'], ['node'], ['kernels']];

const { values, positionals } = parseArgs({
  options: { help: { type: 'boolean', short: 'h' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !(name in levels));
if (values.help) {
  console.log(help);
} else if (unknown !== undefined) {
  console.error(`No level "${unknown}"; there are ${Object.keys(levels).join(', ')}.`);
  process.exitCode = 2;
} else {
  await runLevels(positionals.length > 0 ? positionals : Object.keys(levels));
}

async function runLevels(names: readonly string[]): Promise<void> {
  const results: LevelResult[] = [];
  for (const group of groups) {
    const wanted = group.filter((name) => names.includes(name));
    if (wanted.length === 0) continue;
    console.log(`\n── ${wanted.join(' beside ')} ──`);
    // Two programs on one terminal are a mess: only the last of them, which takes longest, is shown while it runs.
    const running = wanted.map((name, index) => levels[name]?.(index < wanted.length - 1));
    for (const result of await Promise.all(running)) if (result) results.push(result);
  }
  console.log();
  for (const { name, passed, failed, skipped, seconds } of results) {
    const extra = skipped > 0 ? `, ${skipped} skipped` : '';
    console.log(`${name.padEnd(12)} ${passed} passed, ${failed} failed${extra} in ${seconds.toFixed(0)} s`);
  }
  const total = (key: 'passed' | 'failed' | 'skipped') => results.reduce((sum, result) => sum + result[key], 0);
  // Once more, after all that the levels printed: who reads only the end of a long log sees what to look for.
  for (const { title, reason } of results.flatMap(({ failures }) => failures)) {
    console.log(`\nFAILED ${title}\n${reason.replaceAll(/^/gm, '  ')}`);
  }
  console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
  if (total('failed') > 0) process.exitCode = 1;
}
