import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import type { LabelKeys } from '../../rate/keys.ts';
import type { InstallationPolicy } from '../../rate/policy.ts';
import type { Admission } from '../admission.ts';
import type { Log } from '../app.ts';
import type { Clock } from '../clock.ts';
import { createBacklog } from './backlog.ts';
import { followLabelledPods } from './labelled-pods.ts';
import { createCatchUpMetrics } from './metrics.ts';
import { followPolicyPods } from './policy-pods.ts';
import type { SeenPod } from './seen-pod.ts';
import { stampByUpdate } from './stamping.ts';
import { workOff } from './work.ts';

/** What is needed to have pods stamped that came while no webhook could be asked. */
export interface CatchUpOptions {
  readonly kubeConfig: KubeConfig;
  readonly keys: LabelKeys;
  readonly installation: InstallationPolicy;
  /** podrate's own namespace, about which admission is never asked. */
  readonly home: string;
  readonly validate: Admission['validate'];
  readonly registry: Registry;
  readonly log: Log;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** A pod's first turn comes at random within this time, in ms, so that replicas seldom try the same pod at once. */
const spreadMs = 1_000;

/** How often the pods that a policy gives a default are looked through, in ms. */
const lookMs = 60_000;

/** Starts to find the pods that lack the stamp for their rate label, or for their namespace's default, and to have them stamped. */
export function startCatchUp(options: CatchUpOptions): void {
  const { kubeConfig, keys, installation, home, registry, log, clock, random, signal } = options;
  const backlog = createBacklog(keys);
  const metrics = createCatchUpMetrics(registry, backlog);
  const onError = (error: unknown, failures: number) => {
    metrics.failure();
    const retryMs = Math.round(Math.min(1_000 * 2 ** Math.min(failures, 10), 30_000) * (0.5 + random() / 2));
    log.warn({ retryMs, reason: error instanceof Error ? error.message : String(error) }, 'pods without a stamp');
    return retryMs;
  };
  const sink = (label: string | undefined) => ({
    see: (pod: SeenPod) => backlog.see(pod, clock.nowMs() + random() * spreadMs),
    remove: backlog.remove,
    retain: (uids: ReadonlySet<string>) => backlog.retain(label, uids),
  });
  const shared = { kubeConfig, exceptNamespaces: ['kube-system', home], clock, onError, signal };
  for (const label of Object.values(keys)) {
    void followLabelledPods({ ...shared, label, sink: sink(label), relistMs: 600_000 });
  }
  // Replicas that look in step would only be in each other's way.
  const everyMs = lookMs * (0.75 + random() / 2);
  void followPolicyPods({ ...shared, keys, installation, sink: sink(undefined), everyMs });
  void workOff({ ...options, backlog, metrics, stamp: stampByUpdate(kubeConfig, keys) });
}
