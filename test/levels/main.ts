import { parseArgs } from 'node:util';
import { type LevelResult, runCheck, runProject } from './run.ts';

const help = `Runs podrate's tests, level by level, and sets up whatever a level needs first.

  npm test                     every level
  npm test -- unit kernel      only these

Levels, in this order:
  types          tsc
  lint           biome
  unit           pure code, HTTP and TLS; no root
  kernel         real programs on real cgroups, real traffic; root
  controlplane   a real API server with etcd, controllers and kubectl; root, Go
  node           a real kubelet and containerd in a virtual machine; root, Go

Exit code: 0 when nothing failed, 1 when something did, 2 for a wrong call.`;

const levels: Record<string, () => Promise<LevelResult>> = {
  types: () => runCheck('types', 'tsc', []),
  lint: () => runCheck('lint', 'biome', ['check', '.']),
  unit: () => runProject('unit'),
  kernel: () => runProject('kernel'),
  controlplane: () => runProject('controlplane'),
  node: () => runProject('node'),
};

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
  for (const name of names) {
    console.log(`\n── ${name} ──`);
    const result = await levels[name]?.();
    if (result) results.push(result);
  }
  console.log();
  for (const { name, passed, failed, skipped, seconds } of results) {
    const extra = skipped > 0 ? `, ${skipped} skipped` : '';
    console.log(`${name.padEnd(12)} ${passed} passed, ${failed} failed${extra} in ${seconds.toFixed(0)} s`);
  }
  const total = (key: 'passed' | 'failed' | 'skipped') => results.reduce((sum, result) => sum + result[key], 0);
  console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
  if (total('failed') > 0) process.exitCode = 1;
}
