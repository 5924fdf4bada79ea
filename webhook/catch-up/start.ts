import type { KubeConfig } from '@kubernetes/client-node';
import type { Registry } from 'prom-client';
import { type LabelKeys, shapedValue } from '../../rate/keys.ts';
import type { InstallationPolicy } from '../../rate/policy.ts';
import type { Admission } from '../admission.ts';
import type { Clock } from '../clock.ts';
import type { PodFollower } from '../follow-pods.ts';
import { stampOf } from '../judge.ts';
import type { Log } from '../log.ts';
import type { Pod } from '../pod.ts';
import { hasRateLabel } from '../rate-labels.ts';
import { createBacklog } from './backlog.ts';
import { followLabelledPods } from './labelled-pods.ts';
import { createCatchUpMetrics } from './metrics.ts';
import { type PodSink, toSink } from './pod-sink.ts';
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

/**
 * Starts to find the pods that lack the stamp for their rate label, or for their namespace's default, and to have them stamped.
 * @returns who is to be told of the pods with a stamp, which may be a wrong one
 */
export function startCatchUp(options: CatchUpOptions): PodFollower {
  const { kubeConfig, keys, installation, home, registry, log, clock, random, signal } = options;
  const backlog = createBacklog(keys);
  const metrics = createCatchUpMetrics(registry, backlog);
  const onError = (error: unknown, failures: number) => {
    metrics.failure();
    const retryMs = Math.round(Math.min(1_000 * 2 ** Math.min(failures, 10), 30_000) * (0.5 + random() / 2));
    log.warn({ retryMs, reason: error instanceof Error ? error.message : String(error) }, 'pods without a stamp');
    return retryMs;
  };
  const exceptNamespaces = ['kube-system', home];
  const see = (pod: SeenPod) => backlog.see(pod, clock.nowMs() + random() * spreadMs);
  const sink = (isMeant: (pod: Pod) => boolean): PodSink => {
    let letGoBefore = 0;
    return {
      begin() {
        letGoBefore = backlog.letGo();
      },
      see,
      remove: ({ uid, resourceVersion }) => backlog.remove(uid, resourceVersion),
      retain: (uids) => backlog.retain(isMeant, uids),
      mustList: () => backlog.letGo() > letGoBefore,
    };
  };
  const isStamped = (pod: Pod) => stampOf(pod).label === shapedValue;
  const shared = { kubeConfig, exceptNamespaces, clock, onError, signal };
  for (const label of Object.values(keys)) {
    const isMeant = (pod: Pod) => !isStamped(pod) && Object.hasOwn(pod.metadata.labels ?? {}, label);
    void followLabelledPods({ ...shared, label, sink: sink(isMeant), relistMs: 600_000 });
  }
  // Replicas that look in step would only be in each other's way.
  const everyMs = lookMs * (0.75 + random() / 2);
  void followPolicyPods({ ...shared, keys, installation, sink: sink((pod) => !hasRateLabel(pod, keys)), everyMs });
  void workOff({ ...options, backlog, metrics, stamp: stampByUpdate(kubeConfig, keys) });
  const stamped = sink((pod) => isStamped(pod) && hasRateLabel(pod, keys));
  return toSink({
    ...stamped,
    see(pod) {
      if (exceptNamespaces.includes(pod.namespace)) return;
      // By its labels nothing can be said about what a policy gave it.
      if (hasRateLabel(pod.pod, keys)) stamped.see(pod);
      else stamped.remove(pod);
    },
  });
}
