/** The agent without its process: pods in, kernel and conditions out. */
import { isDeepStrictEqual } from 'node:util';
import type { KubeConfig } from '@kubernetes/client-node';
import { conditionPatch } from '../kube/pod-condition.ts';
import { withSharedConnections } from '../kube/shared-connections.ts';
import { adoptConnections } from './adoption/iterator.ts';
import { mayHaveConnections } from './adoption/late.ts';
import { createAdoptions } from './adoption/scheduler.ts';
import { createConditions } from './api/condition-writer.ts';
import { eventWriter } from './api/events.ts';
import { noLimitCondition } from './api/limited-condition.ts';
import { podEvent } from './api/pod-event.ts';
import { findPods, watchPods } from './api/pods.ts';
import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import type { Cgroups } from './cgroup/tree.ts';
import { watchCgroups } from './cgroup/watch.ts';
import { conditionOf } from './condition.ts';
import { createMarkings, createNoMarkings } from './dscp/controller.ts';
import type { Marker } from './dscp/marker.ts';
import { bypassProblem, createBypasses } from './ingress-queue/bypass.ts';
import type { Queues, QueuesReport } from './ingress-queue/controller.ts';
import { podRef, type ShapedPod, shapedPods } from './pods/desired.ts';
import { ownerOf, uidOf } from './pods/owner.ts';
import { startLoop } from './reconcile/loop.ts';
import { createReconciler, type Report } from './reconcile/reconcile.ts';
import type { Shaper } from './shaper/shaper.ts';
import type { SlotState } from './shaper/steps.ts';

/** The log line where the release program cannot be attached. */
export const noRelease =
  'connections that are idle when their limit is removed keep its pace: the release program is not attached';

/** What is logged where an upgrade or a downgrade cannot be completed. */
const noLeaving = 'what another version of podrate has attached is still there, beside the limits of this one';

/** The log line of an agent without CAP_SYS_ADMIN. */
export const noNamespaces =
  'network namespaces cannot be entered: packets are not marked, and connections that are older than a limit are held ' +
  'by dropping until they close (the component manifests/namespaces changes that)';

/** What is logged where the kernel has no iterator over sockets. */
export const noAdopter =
  'connections that are older than a limit are held by dropping until they close: the kernel has no TCP iterator';

/** What an agent is built from. */
export interface AgentOptions {
  readonly kubeConfig: KubeConfig;
  readonly nodeName: string;
  readonly shaper: Shaper;
  readonly cgroups: Cgroups;
  readonly marker: Marker;
  /** Whether network namespaces can be entered, for marks and for connections that are older than a limit. */
  readonly canEnterNamespaces: boolean;
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
  /** The last pass that went through, with or without failed steps. */
  readonly last?: { readonly report: Report; readonly at: number; readonly ms: number };
  /** Since when a pass runs. */
  readonly runningSince?: number;
  /** Passes that could observe nothing, looks that could not mark all pods, and steps that failed, by kind. */
  readonly failures: Readonly<Record<string, number>>;
  readonly passes: number;
  /** Duration of all passes, in ms. */
  readonly passMs: number;
}

/** A running agent. */
export interface Agent {
  state(): AgentState;
  /** Ends the agent. What is in the kernel stays in force. */
  stop(): Promise<void>;
}

/** Starts an agent. The shaper must be installed. Nothing happens before the first complete list of pods. */
export function startAgent(options: AgentOptions): Agent {
  const {
    kubeConfig,
    nodeName,
    shaper,
    cgroups,
    marker,
    canEnterNamespaces,
    resyncMs,
    netnsDirectory,
    queues,
    onFirstPass,
    log,
    clock,
    monotonic,
    now,
  } = options;
  const reconciler = createReconciler({ shaper, cgroups, now: monotonic });
  const failures: Record<string, number> = {};
  const told = new Map<string, ShapedPod>();
  let last: AgentState['last'];
  let runningSince: number | undefined;
  let passes = 0;
  let passMs = 0;
  let wanted = '';
  let queued: QueuesReport | undefined;
  let bypassed: ReadonlySet<string> = new Set();
  let releaseProblem: string | undefined;
  let leftoverProblem: string | undefined;
  let strangers: ReadonlySet<string> = new Set();
  const count = (kind: string) => {
    failures[kind] = (failures[kind] ?? 0) + 1;
  };

  const pass = async (full: boolean) => {
    if (!pods.synced()) return { ok: true };
    const shaped = shapedPods(pods.list());
    const start = monotonic();
    runningSince = start;
    try {
      const before = queued?.has;
      const pods = shaped.map((pod) => ({ ...pod, queued: before?.has(pod.uid) }));
      const report = await reconciler.pass(pods, full);
      // A queue needs the slot of its pod. The flag that it is in force follows in the next pass.
      queued = queues.settle(shaped, report.slots, full);
      if (queued.failures > 0) count('queue');
      if (full) bypassed = await bypasses.find(queuedSlots(report, queued));
      const ms = monotonic() - start;
      passes += 1;
      passMs += ms;
      last = { report, at: monotonic(), ms };
      if (passes === 1) onFirstPass();
      watch.set(report.parents);
      if (!(await markings.settle(shaped, full))) count('mark');
      tell(report, queueProblems(report, queued, bypassed));
      await adoptions.passed(report, full);
      for (const { step } of report.failures) count(step.kind);
      logReport(report, ms);
      const againInMs = isDeepStrictEqual(queued.has, before) ? report.againInMs : 0;
      return { ok: report.failures.length === 0 && queued.failures === 0, againInMs };
    } catch (error) {
      count('pass');
      log.error({ error: messageOf(error) }, 'the state of the shaper cannot be read: limits stay as they are');
      return { ok: false };
    } finally {
      runningSince = undefined;
    }
  };
  const tell = (report: Report, noQueue: ReadonlyMap<string, string>) => {
    for (const result of report.pods) {
      const condition = conditionOf(result, markings.of(result.pod), noQueue.get(result.pod.uid));
      if (condition !== undefined) conditions.want(result.pod, condition);
      told.set(result.pod.uid, result.pod);
    }
    // A pod that is no longer marked, and not because it ended, is told that its limit is gone, once it is gone.
    const current = new Set(report.pods.map(({ pod }) => pod.uid));
    const held = new Set(report.slots.map((slot) => slot.owner));
    const listed = new Set(pods.list().map(({ metadata }) => metadata?.uid));
    for (const [uid, pod] of told) {
      if (current.has(uid) || held.has(ownerOf(pod))) continue;
      told.delete(uid);
      if (!pod.terminating && !listed.has(uid)) conditions.want(pod, noLimitCondition);
    }
    conditions.forgetBut(new Set([...current, ...told.keys()]));
    tellStrangers(report, current);
  };
  /** Pods that lost their label while no agent ran are not watched: their condition still says that a limit is in force. */
  const tellStrangers = ({ slots }: Report, current: ReadonlySet<string>) => {
    const held = new Set(slots.flatMap((slot) => uidOf(slot) ?? []));
    const released = new Set([...strangers].filter((uid) => !held.has(uid) && !current.has(uid)));
    strangers = new Set([...held].filter((uid) => !current.has(uid) && !told.has(uid)));
    if (released.size === 0) return;
    findPods(shared, nodeName, released)
      .then((found) => {
        for (const pod of found.map(podRef)) {
          if (pod.condition !== undefined && pod.condition.status !== 'False') conditions.want(pod, noLimitCondition);
        }
      })
      .catch((error: unknown) => {
        log.warn({ error: messageOf(error) }, 'pods whose limit is gone could not be looked for');
      });
  };
  const logReport = ({ steps, failures: failed, release, leftover, pods: results }: Report, ms: number) => {
    for (const { step, error } of failed)
      log.error({ step: describeStep(step), error: error.message }, 'a step failed');
    if (Object.keys(steps).length > 0) log.info({ steps, pods: results.length, ms: Math.round(ms) }, 'limits changed');
    if (release !== undefined && release.message !== releaseProblem) {
      log.warn({ error: release.message }, noRelease);
    }
    releaseProblem = release?.message;
    if (leftover !== undefined && leftover.message !== leftoverProblem)
      log.warn({ error: leftover.message }, noLeaving);
    leftoverProblem = leftover?.message;
  };

  const loop = startLoop({ pass, resyncMs, backOffMs: { first: 250, longest: 15_000 }, clock });
  const watch = watchCgroups(loop.kick);
  const bypasses = createBypasses({
    receiveTimes: async (slots) => shaper.receiveTimes(slots),
    monotonicNs: () => process.hrtime.bigint(),
  });
  const adoptions = createAdoptions({
    adopt: async (namespaces) => (canEnterNamespaces ? adoptConnections(shaper.adopter(), namespaces) : undefined),
    mayHaveConnections: (path) => mayHaveConnections(path, now()),
    ...{ netnsDirectory, clock, log },
  });
  const markings = canEnterNamespaces ? createMarkings({ marker, netnsDirectory, log }) : createNoMarkings();
  const shared = withSharedConnections(kubeConfig, monotonic);
  const writeEvent = eventWriter(shared, nodeName, now);
  const conditions = createConditions({
    patch: conditionPatch(shared),
    onWritten: (pod, condition, before) => {
      // An event is for people who look now: what cannot be told is in the condition all the same.
      writeEvent(pod, podEvent(before?.status, condition)).catch((error: unknown) => {
        count('event');
        log.warn({ pod: nameOf(pod), error: messageOf(error) }, 'an event about a pod could not be written');
      });
    },
    onError: (pod, error) =>
      log.warn({ pod: nameOf(pod), error: error.message }, 'the condition of a pod could not be written'),
    clock,
    now,
  });
  const pods = watchPods({
    kubeConfig: shared,
    nodeName,
    clock,
    onChange: () => {
      // Pods change all the time; what they ask for seldom does.
      const asked = JSON.stringify(shapedPods(pods.list()).map(({ condition, ...pod }) => pod));
      if (asked === wanted) return;
      wanted = asked;
      loop.kick();
    },
    onError: (error, retryMs) =>
      log.warn({ error: error.message, retryMs }, 'the pods cannot be watched: limits stay as they are'),
  });

  return {
    state: () => ({
      synced: pods.synced(),
      ...(last !== undefined && { last }),
      ...(runningSince !== undefined && { runningSince }),
      failures,
      passes,
      passMs,
    }),
    async stop() {
      pods.stop();
      watch.close();
      conditions.stop();
      adoptions.stop();
      await loop.stop();
    },
  };
}

/** Slots of pods whose queue is in force. */
function queuedSlots({ pods, slots }: Report, { has }: QueuesReport): readonly SlotState[] {
  const owners = new Set(pods.filter(({ pod }) => has.has(pod.uid)).map(({ pod }) => ownerOf(pod)));
  return slots.filter(({ owner }) => owners.has(owner));
}

/** Why pods, by uid, are policed. */
function queueProblems(
  { pods }: Report,
  { problems }: QueuesReport,
  bypassed: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  const passedBy = pods.filter(({ pod }) => bypassed.has(ownerOf(pod)));
  return new Map([...passedBy.map(({ pod }): [string, string] => [pod.uid, bypassProblem]), ...problems]);
}

function describeStep(step: Report['failures'][number]['step']): string {
  return `${step.kind} ${step.owner}`;
}

function nameOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
