import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { Cluster } from '../test/cluster/cluster.ts';
import { plotThroughput } from './report/plot.ts';
import { outsideBounds, writeReport } from './report/report.ts';
import { summarize } from './report/summary.ts';
import { runDemo } from './run.ts';

const help = `Shows podrate on a real Kubernetes that it builds and starts on this machine.

  npm run demo
  npm run demo -- --keep --json figures.json

Options:
  --keep           leave the cluster up, and print how to use it
  --json FILE      write every measured figure
  --plot FILE      where to draw throughput over time, as SVG (default: demo-output/throughput.svg)
  --seconds N      how long each flow runs, 4 to 600 (default: 20)
  -h, --help       print this

Needs root, Go, and a Debian-like machine; missing Debian packages are installed. What is built is kept in
\${XDG_CACHE_HOME:-~/.cache}/podrate, so that the next run takes a minute or two.

Exit code: 0 when every rate is within its bounds, 1 when not or when something failed, 2 for a wrong call,
130 when interrupted.`;

const options = {
  keep: { type: 'boolean', default: false },
  json: { type: 'string' },
  plot: { type: 'string', default: 'demo-output/throughput.svg' },
  seconds: { type: 'string', default: '20' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];

process.exitCode = await main();

async function main(): Promise<number> {
  let values: Values;
  try {
    values = parseArgs({ options }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${help}`);
    return 2;
  }
  const seconds = Number(values.seconds);
  if (values.help) {
    console.log(help);
    return 0;
  }
  if (!(seconds >= 4 && seconds <= 600)) {
    console.error(`--seconds ${values.seconds} is not between 4 and 600.`);
    return 2;
  }
  return demonstrate(values, seconds);
}

async function demonstrate(values: Values, seconds: number): Promise<number> {
  const interrupt = new AbortController();
  // Not `once`: execa ends the process when it finds no other listener while one of its programs runs.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupt.abort(signal));
  const clusters: Cluster[] = [];
  try {
    const { pods, curves, report } = await Promise.race([
      runDemo(seconds, interrupt.signal, (cluster) => clusters.push(cluster)),
      rejectOnAbort(interrupt.signal),
    ]);
    await mkdir(dirname(values.plot), { recursive: true });
    await writeFile(values.plot, await plotThroughput('Throughput of limited pods', curves));
    if (values.json !== undefined) await writeReport(values.json, report);
    console.log(`\n${summarize(pods, report)}\n\nplot: ${values.plot}`);
    return outsideBounds(report.pods).length === 0 && report.liveChange.connectionsBroken === 0 ? 0 : 1;
  } catch (error) {
    if (interrupt.signal.aborted) return 130;
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await endOrKeep(clusters, values.keep && !interrupt.signal.aborted);
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}

async function endOrKeep(clusters: readonly Cluster[], keep: boolean): Promise<void> {
  for (const cluster of clusters) {
    if (!keep) {
      await cluster.stop();
      continue;
    }
    await cluster.keep();
    console.log(`\nThe cluster stays up:
  npm run cluster -- kubectl get pods -A
  npm run cluster -- exec 'bpftool cgroup tree /sys/fs/cgroup/kubepods.slice'
  npm run cluster -- stop`);
  }
}
