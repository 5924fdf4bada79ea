/** The agent's metrics, in Prometheus' text format, version 0.0.4. */
import { directions } from '../../rate/limit.ts';
import type { AgentState } from '../agent.ts';
import { verdicts } from '../shaper/layout.ts';
import type { Shaper } from '../shaper/shaper.ts';

/** A sample: its labels as {@link labelsOf} writes them, empty for none, and its value. */
type Sample = readonly [labels: string, value: number];

/** Reads the counters from the kernel and renders everything. @throws BpfError if they cannot be read */
export function renderMetrics(shaper: Pick<Shaper, 'counters'>, state: AgentState): string {
  const { last, failures, passes, passMs } = state;
  const pods = last?.report.pods ?? [];
  const inForce = pods.filter((result) => result.state === 'in-force');
  const counters = shaper.counters(inForce.map((result) => result.slot));
  const bytes: Sample[] = [];
  const packets: Sample[] = [];
  const limits: Sample[] = [];
  for (const [index, { pod, slot }] of inForce.entries()) {
    for (const direction of directions) {
      const labels = labelsOf({ namespace: pod.namespace, pod: pod.name, uid: pod.uid, direction });
      const { rate } = slot.config[direction];
      if (rate > 0) limits.push([labels, rate]);
      for (const verdict of verdicts) {
        const count = counters[index]?.[direction][verdict];
        bytes.push([`${labels},verdict="${verdict}"`, count?.bytes ?? 0]);
        packets.push([`${labels},verdict="${verdict}"`, count?.packets ?? 0]);
      }
    }
  }
  const queued = inForce.filter(({ slot }) => slot.config.queued).length;
  const byState = [...Map.groupBy(pods, (result) => result.state)];
  const states = byState.map(([name, results]): Sample => [labelsOf({ state: name }), results.length]);
  const failed = Object.entries(failures).map(([reason, times]): Sample => [labelsOf({ reason }), times]);
  const verdict = 'of a limited pod by verdict; passed includes delayed and marked';
  const limit = 'The limit that is in force for a pod, as read from the kernel';
  const queue = 'Pods whose ingress limit is in force through a queue; all others with an ingress limit are policed';
  const failure =
    'Steps that failed, by kind; pass: nothing could be observed; mark: packets could not be marked; ' +
    'queue: one could not be made';
  const families = [
    family('podrate_pod_bytes_total', 'counter', `IP bytes ${verdict}`, bytes),
    family('podrate_pod_packets_total', 'counter', `Packets ${verdict}`, packets),
    family('podrate_pod_limit_bytes_per_second', 'gauge', limit, limits),
    family('podrate_attached_pods', 'gauge', 'Pods whose limit is in force', [['', inForce.length]]),
    family('podrate_queued_pods', 'gauge', queue, [['', queued]]),
    family('podrate_pods', 'gauge', 'Pods of this node that ask for a limit, by what became of it', states),
    family('podrate_passes_total', 'counter', 'Passes over the whole node', [['', passes]]),
    family('podrate_pass_seconds_total', 'counter', 'Time that passes took', [['', passMs / 1000]]),
    family('podrate_failures_total', 'counter', failure, failed),
  ];
  return families.join('');
}

/** Writes all samples of a metric. @param help one line */
function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) =>
    labels === '' ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`,
  );
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** Writes labels, with their values escaped. */
function labelsOf(labels: Readonly<Record<string, string>>): string {
  const escaped = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',');
}
