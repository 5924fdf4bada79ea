/** The agent's metrics, for Prometheus. */
import { Counter, Gauge, Registry } from 'prom-client';
import { directions } from '../rate/limit.ts';
import type { AgentState } from './agent.ts';
import { type Verdict, verdicts } from './layout.ts';
import type { Shaper } from './shaper.ts';

/** Renders the metrics. */
export interface Metrics {
  /** Reads the counters from the kernel and renders everything. @throws BpftoolError if they cannot be read */
  render(): Promise<{ contentType: string; text: string }>;
}

/** Builds the metrics of an agent; a registry of its own, and no state but the agent's. */
export function createMetrics(shaper: Pick<Shaper, 'counters'>, state: () => AgentState): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const podLabels = ['namespace', 'pod', 'uid', 'direction'] as const;
  const perVerdict = (unit: 'bytes' | 'packets') =>
    new Counter({
      name: `podrate_pod_${unit}_total`,
      help: `${unit === 'bytes' ? 'IP bytes' : 'Packets'} of a limited pod by verdict; passed includes delayed and marked`,
      labelNames: [...podLabels, 'verdict'],
      registers,
    });
  const bytes = perVerdict('bytes');
  const packets = perVerdict('packets');
  const limit = new Gauge({
    name: 'podrate_pod_limit_bytes_per_second',
    help: 'The limit that is in force for a pod, as read from the kernel',
    labelNames: podLabels,
    registers,
  });
  const attached = new Gauge({ name: 'podrate_attached_pods', help: 'Pods whose limit is in force', registers });
  const queued = new Gauge({
    name: 'podrate_queued_pods',
    help: 'Pods whose ingress limit is in force through a queue; all others with an ingress limit are policed',
    registers,
  });
  const states = new Gauge({
    name: 'podrate_pods',
    help: 'Pods of this node that ask for a limit, by what became of it',
    labelNames: ['state'],
    registers,
  });
  const passes = new Counter({ name: 'podrate_passes_total', help: 'Passes over the whole node', registers });
  const seconds = new Counter({ name: 'podrate_pass_seconds_total', help: 'Time that passes took', registers });
  const failures = new Counter({
    name: 'podrate_failures_total',
    help: 'Steps that failed, by kind; pass: nothing could be observed; mark: packets could not be marked; queue: one could not be made',
    labelNames: ['reason'],
    registers,
  });

  return {
    async render() {
      const { last, failures: failed, passes: passCount, passMs } = state();
      const pods = last?.report.pods ?? [];
      const inForce = pods.filter((result) => result.state === 'in-force');
      const counters = await shaper.counters(inForce.map((result) => result.slot));
      registry.resetMetrics();
      passes.inc(passCount);
      seconds.inc(passMs / 1000);
      attached.set(inForce.length);
      queued.set(inForce.filter(({ slot }) => slot.config.queued).length);
      for (const [reason, times] of Object.entries(failed)) failures.inc({ reason }, times);
      for (const result of pods) states.inc({ state: result.state });
      for (const [index, { pod, slot }] of inForce.entries()) {
        for (const direction of directions) {
          const labels = { namespace: pod.namespace, pod: pod.name, uid: pod.uid, direction };
          const { rate } = slot.config[direction];
          if (rate > 0) limit.set(labels, rate);
          const found = counters[index]?.[direction];
          for (const verdict of verdicts as readonly Verdict[]) {
            bytes.inc({ ...labels, verdict }, found?.[verdict].bytes ?? 0);
            packets.inc({ ...labels, verdict }, found?.[verdict].packets ?? 0);
          }
        }
      }
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
