import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';

/** How a request to the webhook ended. */
export type Outcome = 'leave' | 'patch' | 'deny' | 'bad-request' | 'fault';

/** The webhook's Prometheus metrics. */
export type Metrics = ReturnType<typeof createMetrics>;

/** Makes the metrics, in a registry of their own. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  // At the usual 10 ms, this timer alone takes a hundredth of a processor.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 250 });
  const admissions = new Counter({
    name: 'podrate_admissions_total',
    help: 'Admission requests by operation and outcome: leave, patch, deny, bad-request (no valid review), fault (own error).',
    labelNames: ['operation', 'outcome'],
    registers,
  });
  const faults = new Counter({
    name: 'podrate_policy_faults_total',
    help: 'Objects admitted by mode warn or audit that enforcement would have refused, by the code of the reason.',
    labelNames: ['mode', 'code'],
    registers,
  });
  const duration = new Histogram({
    name: 'podrate_admission_duration_seconds',
    help: 'Time to decide about an admission request, from its read body to its written answer.',
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1],
    registers,
  });
  return {
    registry,
    /** Counts a request and its time in seconds. */
    admission(operation: string, outcome: Outcome, seconds: number) {
      admissions.inc({ operation, outcome });
      duration.observe(seconds);
    },
    /** Counts what would have been refused if the namespace's mode were to enforce. */
    fault: (mode: string, code: string) => faults.inc({ mode, code }),
  };
}
