/** Keeps the queues in front of this node's pods as they should be: --ingress-queue. */
import type { ShapedPod } from './desired.ts';
import type { Log } from './log.ts';
import type { HostDevice, PodDevices } from './pod-devices.ts';
import { podHandle, type Queue } from './queue.ts';
import { settleQueues } from './queue-steps.ts';
import type { Tc } from './tc.ts';

/** What queues are built from. */
export interface QueuesOptions {
  /** Whether pods get queues at all. If not, those of an earlier agent are taken off once. */
  readonly enabled: boolean;
  readonly tc: Tc;
  readonly devices: PodDevices;
  readonly log: Log;
}

/** What a look found. */
export interface QueuesReport {
  /** Pods, by uid, that have their queue. */
  readonly has: ReadonlySet<string>;
  /** Why pods, by uid, that should have one do not: a sentence. */
  readonly problems: ReadonlyMap<string, string>;
  /** Whether something failed that may go well another time. */
  readonly failed: boolean;
}

/** The running part. */
export interface Queues {
  /** Makes the queues agree with the pods. Never fails: limits hold by dropping without a queue. */
  settle(pods: readonly ShapedPod[]): Promise<QueuesReport>;
}

const nothing: QueuesReport = { has: new Set(), problems: new Map(), failed: false };

/** Builds it. */
export function createQueues({ enabled, tc, devices, log }: QueuesOptions): Queues {
  let cleared = false;
  let told = new Map<string, string>();

  const clear = async () => {
    if (cleared) return;
    cleared = true;
    try {
      const { done, failed } = await settleQueues(tc, podHandle, new Map());
      if (done.length > 0) log.info({ queues: done.length }, 'queues of an earlier agent are taken off');
      for (const [device, error] of failed) log.error({ device, error: error.message }, 'a queue cannot be taken off');
    } catch {
      // Without tc there was no earlier agent with queues.
    }
  };
  const settle = async (pods: readonly ShapedPod[]): Promise<QueuesReport> => {
    const wanting = pods.filter(wantsQueue);
    const addresses = new Set(wanting.flatMap((pod) => pod.network.addresses));
    const found = addresses.size > 0 ? await devices.find(addresses) : new Map<string, HostDevice | undefined>();
    const deviceOf = new Map(wanting.map((pod) => [pod, firstOf(pod, found)]));
    const { foreign, failed, done } = await settleQueues(tc, podHandle, queuesOf(deviceOf));
    if (done.length > 0) log.info({ queues: done.map(({ kind, device }) => `${kind} ${device}`) }, 'queues changed');
    const problems = new Map<string, string>();
    for (const [pod, device] of deviceOf) {
      const other = device && foreign.get(device.name);
      const error = device && failed.get(device.name);
      if (device === undefined) problems.set(pod.uid, noDevice);
      else if (other)
        problems.set(pod.uid, `${device.name} has a queue of somebody else's (${other.kind} ${other.handle})`);
      else if (error) problems.set(pod.uid, `${device.name}: ${error.message}`);
    }
    const has = new Set(wanting.map(({ uid }) => uid).filter((uid) => !problems.has(uid)));
    return { has, problems, failed: failed.size > 0 };
  };
  const tell = (pods: readonly ShapedPod[], problems: QueuesReport['problems']) => {
    for (const { uid, namespace, name } of pods) {
      const problem = problems.get(uid);
      if (problem !== undefined && told.get(uid) !== problem)
        log.warn({ pod: `${namespace}/${name}`, problem }, noQueue);
    }
    told = new Map(problems);
  };

  return {
    async settle(pods) {
      if (!enabled) {
        await clear();
        return nothing;
      }
      const report = await settle(pods).catch((error: Error): QueuesReport => {
        const problems = new Map(pods.filter(wantsQueue).map(({ uid }) => [uid, error.message]));
        return { has: new Set(), problems, failed: true };
      });
      tell(pods, report.problems);
      return report;
    },
  };
}

const noQueue = 'no queue is in front of a pod: its limit holds by dropping';
const noDevice =
  "its device is not among the agent's: the agent needs the node's network (hostNetwork), and the pod one of its own by a veth";

function wantsQueue({ limit, network }: ShapedPod): boolean {
  return !(limit instanceof Error) && limit.ingress !== undefined && network.addresses.length > 0;
}

function firstOf({ network }: ShapedPod, found: ReadonlyMap<string, HostDevice | undefined>): HostDevice | undefined {
  return network.addresses.map((address) => found.get(address)).find((device) => device !== undefined);
}

/** A pod that is about to end may have given its address to another one already: that one comes last, and counts. */
function queuesOf(deviceOf: ReadonlyMap<ShapedPod, HostDevice | undefined>): Map<string, Queue> {
  const queues = new Map<string, Queue>();
  const inOrder = [...deviceOf].sort(([one], [other]) => Number(other.terminating) - Number(one.terminating));
  for (const [{ limit }, device] of inOrder) {
    if (device === undefined || limit instanceof Error || limit.ingress === undefined) continue;
    queues.set(device.name, { rate: limit.ingress, mtu: device.mtu });
  }
  return queues;
}
