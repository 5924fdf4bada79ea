import type { Direction } from '../rate/limit.ts';
import { parseRate } from '../rate/rate.ts';
import { type Cluster, startCluster } from '../test/cluster/cluster.ts';
import type { DemoPod } from './pods.ts';
import { withProgressBar } from './progress-bar.ts';
import { waitUntilQuiet } from './quiet.ts';
import { directionCurve, liveChangeCurve } from './report/curves.ts';
import type { Curve } from './report/plot.ts';
import type { DemoReport, MeasuredPod } from './report/report.ts';
import { step } from './step.ts';
import { installPodrate, provokeRefusal, startExamples } from './steps.ts';
import { changeLabelUnderTraffic } from './traffic/live-change.ts';
import { steadyBytesPerSecond } from './traffic/throughput.ts';
import { type Peer, runTraffic } from './traffic/traffic.ts';

/** What the demo found. */
export interface DemoResult {
  readonly pods: readonly DemoPod[];
  readonly curves: readonly Curve[];
  readonly report: DemoReport;
}

const CHANGE_TO = '4M';
const BAD_LABEL = '1m';

/**
 * Starts a cluster and shows podrate on it, step by step. The caller stops the cluster that `onCluster` hands out, also when
 * this fails half-way.
 *
 * @param trafficSeconds How long each flow runs.
 */
export async function runDemo(
  trafficSeconds: number,
  signal: AbortSignal,
  onCluster: (cluster: Cluster) => void,
): Promise<DemoResult> {
  const seconds = stopwatch();
  const cluster = await step('Build and start a real Kubernetes', (say) =>
    startCluster({ nodes: 1, signal, onProgress: (name, text) => say(`${name}: ${text}`) }),
  );
  onCluster(cluster);
  const clusterSeconds = seconds();
  await step('Install podrate', (say) => installPodrate(cluster, say));
  const { pods, peer } = await step('Start pods with a rate label', (say) => startExamples(cluster, say));
  await step('Wait until the node is at rest', (say) => waitUntilQuiet(cluster, say));
  const setupSeconds = seconds();

  const sent = await measure(cluster, pods, peer, 'egress', trafficSeconds);
  const received = await measure(cluster, pods, peer, 'ingress', trafficSeconds);
  const { change, curve } = await changeLive(cluster, pods[0] as DemoPod, peer, trafficSeconds);
  const message = await step(`Ask for rate=${BAD_LABEL}`, async (say) => {
    const refusal = await provokeRefusal(cluster, 'peer', BAD_LABEL);
    say(refusal);
    return refusal;
  });
  return {
    pods,
    curves: [...sent.curves, ...received.curves, curve],
    report: {
      pods: [...sent.measured, ...received.measured],
      liveChange: change,
      refused: { label: BAD_LABEL, message },
      seconds: { setup: setupSeconds - clusterSeconds, cluster: clusterSeconds, total: seconds() },
    },
  };
}

/** One pod after the other: the node's processors are emulated, and three flows at once would measure those. */
async function measure(
  cluster: Cluster,
  pods: readonly DemoPod[],
  peer: Peer,
  direction: Direction,
  seconds: number,
): Promise<{ measured: MeasuredPod[]; curves: Curve[] }> {
  const verb = direction === 'egress' ? 'sends' : 'receives';
  const measured: MeasuredPod[] = [];
  const curves: Curve[] = [];
  for (const pod of pods) {
    const samples = await step(`${pod.name} ${verb}`, (say) =>
      withProgressBar(seconds, say, runTraffic(cluster, pod, peer, direction, seconds)),
    );
    const { name, label, limitBytesPerSecond } = pod;
    const measuredBytesPerSecond = steadyBytesPerSecond(samples, direction);
    measured.push({ name, label, direction, limitBytesPerSecond, measuredBytesPerSecond });
    curves.push(directionCurve(direction, pod, samples));
  }
  return { measured, curves };
}

async function changeLive(cluster: Cluster, pod: DemoPod, peer: Peer, seconds: number) {
  const to = { label: CHANGE_TO, limitBytesPerSecond: parseRate(CHANGE_TO) };
  const change = await step(`Change ${pod.name} to rate=${to.label} while it sends`, (say) =>
    withProgressBar(seconds, say, changeLabelUnderTraffic(cluster, pod, peer, to, seconds)),
  );
  return {
    curve: liveChangeCurve(pod, change, to),
    change: {
      from: pod.label,
      to: to.label,
      secondsToSettle: change.secondsToSettle ?? null,
      connectionsBroken: change.connectionsBroken,
    },
  };
}

function stopwatch(): () => number {
  const started = performance.now();
  return () => (performance.now() - started) / 1000;
}
