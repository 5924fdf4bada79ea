/** The agent's metrics, for Prometheus. */
import { directions } from '../../rate/limit.ts';
import type { AgentState } from '../agent.ts';
import { verdicts } from '../shaper/layout.ts';
import type { Shaper } from '../shaper/shaper.ts';
import { type Family, formatFamilies, labelsOf, type Sample } from './exposition.ts';

/** The content type of Prometheus' text format. */
export const contentType = 'text/plain; version=0.0.4; charset=utf-8';

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
  const byState = Map.groupBy(pods, (result) => result.state);
  const perVerdict = (unit: string) => `${unit} of a limited pod by verdict; passed includes delayed and marked`;
  const families: Family[] = [
    ['podrate_pod_bytes_total', 'counter', perVerdict('IP bytes'), bytes],
    ['podrate_pod_packets_total', 'counter', perVerdict('Packets'), packets],
    [
      'podrate_pod_limit_bytes_per_second',
      'gauge',
      'The limit that is in force for a pod, as read from the kernel',
      limits,
    ],
    ['podrate_attached_pods', 'gauge', 'Pods whose limit is in force', [['', inForce.length]]],
    [
      'podrate_queued_pods',
      'gauge',
      'Pods whose ingress limit is in force through a queue; all others with an ingress limit are policed',
      [['', inForce.filter(({ slot }) => slot.config.queued).length]],
    ],
    [
      'podrate_pods',
      'gauge',
      'Pods of this node that ask for a limit, by what became of it',
      [...byState].map(([name, results]): Sample => [labelsOf({ state: name }), results.length]),
    ],
    ['podrate_passes_total', 'counter', 'Passes over the whole node', [['', passes]]],
    ['podrate_pass_seconds_total', 'counter', 'Time that passes took', [['', passMs / 1000]]],
    [
      'podrate_failures_total',
      'counter',
      'Steps that failed, by kind; pass: nothing could be observed; mark: packets could not be marked; ' +
        'queue: one could not be made',
      Object.entries(failures).map(([reason, times]): Sample => [labelsOf({ reason }), times]),
    ],
  ];
  return formatFamilies(families);
}
