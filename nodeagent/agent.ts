/** The agent without its process: pods in, kernel and conditions out. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { KubeConfig } from '@kubernetes/client-node';
import { conditionPatch } from '../kube/pod-condition.ts';
import { withSharedConnections } from '../kube/shared-connections.ts';
import { adoptConnections } from './adoption/iterator.ts';
import { createAdoptions } from './adoption/scheduler.ts';
import { createConditions } from './api/condition-writer.ts';
import { eventWriter } from './api/events.ts';
import { noLimitCondition } from './api/limited-condition.ts';
import { listAllPods, watchPods } from './api/pods.ts';
import type { Clock } from './base/clock.ts';
import { toError } from './base/errors.ts';
import type { Log } from './base/log.ts';
import { type Cgroups, isPopulated } from './cgroup/tree.ts';
import { watchCgroups } from './cgroup/watch.ts';
import { conditionOf } from './condition.ts';
import { createMarkings } from './dscp/controller.ts';
import type { Marker } from './dscp/marker.ts';
import type { Queues, QueuesReport } from './ingress-queue/controller.ts';
import { hasEnded, type PodRef, podRef, type ShapedPod, shapedPods } from './pods/desired.ts';
import { ownerOf, uidOf } from './pods/owner.ts';
import { startLoop } from './reconcile/loop.ts';
import { createReconciler, type Report } from './reconcile/reconcile.ts';
import type { Shaper } from './shaper/shaper.ts';

/** What an agent is built from. */
export interface AgentOptions {
  readonly kubeConfig: KubeConfig;
  readonly nodeName: string;
  readonly shaper: Shaper;
  readonly cgroups: Cgroups;
  /** Undefined where network namespaces cannot be entered, for marks and for connections that are older than a limit. */
  readonly marker: Marker | undefined;
  readonly resyncMs: number;
  /** Directory with the pods' network namespaces. */
  readonly netnsDirectory: string;
  readonly queues: Queues;
  /** Called once, after the first pass that went through. */
  readonly onFirstPass: () => void;
  readonly log: Log;
  readonly clock: Clock;
  /** Milliseconds of a clock that never steps. */
  readonly monotonic: () => number;
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number;
}

/** What is known about the agent's work. */
export interface AgentState {
  /** Whether the pods of the node are known. */
  readonly synced: boolean;
  /** The last pass that went through, with or without failed steps, and when. */
  readonly last?: { readonly report: Report; readonly at: number } | undefined;
  /** Passes that could observe nothing, looks that could not mark all pods, and steps that failed, by kind. */
  readonly failures: Readonly<Record<string, number>>;
  readonly passes: number;
  /** Duration of all passes, in ms. */
  readonly passMs: number;
}

/** Starts an agent. The shaper must be installed. Nothing happens before the first complete list of pods. */
export function startAgent(options: AgentOptions) {
  const { nodeName, shaper, netnsDirectory, queues, log, clock, monotonic, now } = options;
  const reconciler = createReconciler({ shaper, cgroups: options.cgroups, now: monotonic });
  const failures: Record<string, number> = {};
  /** Pods that say, or are about to say, that they are limited. */
  const limited = new Map<string, PodRef & Pick<ShapedPod, 'cgroupUid' | 'terminating'>>();
  let last: AgentState['last'];
  let passes = 0;
  let passMs = 0;
  let asked = '';
  let queued: QueuesReport | undefined;
  let releaseProblem: string | undefined;
  const count = (kind: string) => {
    failures[kind] = (failures[kind] ?? 0) + 1;
  };

  const pass = async (full: boolean) => {
    if (!pods.synced()) return { ok: true };
    const shaped = shapedPods(pods.list());
    const start = monotonic();
    try {
      const before = queued?.has;
      const report = await reconciler.pass(
        shaped.map((pod) => ({ ...pod, queued: before?.has(pod.uid) })),
        full,
      );
      // A queue needs the slot of its pod. The flag that it is in force follows in the next pass.
      queued = queues.settle(shaped, report.slots, full);
      if (queued.failed) count('queue');
      const ms = monotonic() - start;
      passes += 1;
      passMs += ms;
      if (last === undefined) void findUnmarked(report);
      last = { report, at: monotonic() };
      if (passes === 1) options.onFirstPass();
      watch.set(report.parents);
      if (!(await markings.settle(shaped, full))) count('mark');
      writeConditions(report, queued.problems);
      if (shaper.adopter() !== undefined && options.marker !== undefined) await adoptions.passed(report, full);
      for (const { step } of report.failures) count(step.kind);
      logReport(report, ms);
      const againInMs = isDeepStrictEqual(queued.has, before) ? report.againInMs : 0;
      return { ok: report.failures.length === 0 && !queued.failed, againInMs };
    } catch (error) {
      count('pass');
      log.error({ error: toError(error).message }, 'the state of the shaper cannot be read: limits stay as they are');
      return { ok: false };
    }
  };
  const writeConditions = ({ pods: results, slots }: Report, queueProblems: QueuesReport['problems']) => {
    for (const result of results) {
      const condition = conditionOf(result, markings.of(result.pod), queueProblems.get(result.pod.uid));
      if (condition !== undefined) conditions.want(result.pod, condition);
      limited.set(result.pod.uid, result.pod);
    }
    // When a running pod loses its stamp, its condition changes after the programs are detached.
    const current = new Set(results.map(({ pod }) => pod.uid));
    const held = new Set(slots.map(({ owner }) => owner));
    const ended = new Set(pods.list().flatMap(({ metadata, status }) => (hasEnded(status) ? metadata?.uid : [])));
    for (const [uid, pod] of limited) {
      if (current.has(uid) || held.has(ownerOf(pod))) continue;
      limited.delete(uid);
      if (!pod.terminating && !ended.has(uid)) conditions.want(pod, noLimitCondition);
    }
    conditions.forgetBut(new Set([...current, ...limited.keys()]));
  };
  /** Pods that lost their stamp while no agent ran are not watched: their condition still says that a limit is in force. */
  const findUnmarked = async ({ slots, pods: results }: Report) => {
    const current = new Set(results.map(({ pod }) => pod.uid));
    const uids = new Set(slots.flatMap((slot) => uidOf(slot) ?? []).filter((uid) => !current.has(uid)));
    if (uids.size === 0) return;
    try {
      for (const pod of (await listAllPods(kubeConfig, nodeName)).map(podRef)) {
        if (!uids.has(pod.uid) || (pod.condition?.status ?? 'False') === 'False') continue;
        limited.set(pod.uid, { ...pod, cgroupUid: pod.uid, terminating: false });
      }
      loop.kick();
    } catch (error) {
      log.warn({ error: toError(error).message }, 'pods whose limit is gone could not be looked for');
    }
  };
  const logReport = ({ steps, failures: failed, release, pods: results }: Report, ms: number) => {
    for (const { step, error } of failed)
      log.error({ step: `${step.kind} ${step.owner}`, error: error.message }, 'a step failed');
    if (Object.keys(steps).length > 0) log.info({ steps, pods: results.length, ms: Math.round(ms) }, 'limits changed');
    if (release !== undefined && release.message !== releaseProblem) log.warn({ error: release.message }, noRelease);
    releaseProblem = release?.message;
  };

  const loop = startLoop({
    pass,
    resyncMs: options.resyncMs,
    backOffMs: { first: 250, longest: 15_000 },
    clock,
  });
  const watch = watchCgroups(loop.kick);
  const adoptions = createAdoptions({
    async adopt() {
      const names = await readdir(netnsDirectory).catch(() => []);
      return adoptConnections(
        shaper.adopter() ?? '',
        names.map((name) => join(netnsDirectory, name)),
      );
    },
    isPopulated,
    clock,
    log,
  });
  const markings = createMarkings({ marker: options.marker, netnsDirectory, log });
  const kubeConfig = withSharedConnections(options.kubeConfig, monotonic);
  const writeEvent = eventWriter(kubeConfig, nodeName, now);
  const conditions = createConditions({
    patch: conditionPatch(kubeConfig),
    onWritten: (pod, condition, before) => {
      // An event is for people who look now: what cannot be told is in the condition all the same.
      writeEvent(pod, before?.status, condition).catch((error: unknown) => {
        count('event');
        log.warn({ pod: nameOf(pod), error: toError(error).message }, 'an event about a pod could not be written');
      });
    },
    onError: (pod, error) =>
      log.warn({ pod: nameOf(pod), error: error.message }, 'the condition of a pod could not be written'),
    clock,
    now,
  });
  const pods = watchPods({
    kubeConfig,
    nodeName,
    clock,
    onChange: () => {
      // Pods change all the time; what they ask for seldom does.
      const asks = JSON.stringify(shapedPods(pods.list()).map(({ condition, ...pod }) => pod));
      if (asks === asked) return;
      asked = asks;
      loop.kick();
    },
    onError: (error, retryMs) =>
      log.warn({ error: error.message, retryMs }, 'the pods cannot be watched: limits stay as they are'),
  });

  return {
    state: (): AgentState => ({ synced: pods.synced(), last, failures, passes, passMs }),
    /** Ends the agent. What is in the kernel stays in force. */
    async stop() {
      pods.stop();
      watch.close();
      conditions.stop();
      adoptions.stop();
      await loop.stop();
    },
  };
}

const noRelease =
  'connections that are idle when their limit is removed keep its pace: the release program is not attached';

function nameOf({ namespace, name }: PodRef): string {
  return `${namespace}/${name}`;
}
