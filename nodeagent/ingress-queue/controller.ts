/** Keeps the ingress queues of this node's pods as they should be. */

import type { Log } from '../base/log.ts';
import type { Tc } from '../net/tc.ts';
import type { ShapedPod } from '../pods/desired.ts';
import { ownerOf } from '../pods/owner.ts';
import type { Classifier } from '../shaper/shaper.ts';
import type { SlotState } from '../shaper/steps.ts';
import type { HostDevice, MissingDevice, PodDevices } from './devices.ts';
import { podHandle, type Queue } from './htb.ts';
import { settleQueues } from './settle.ts';
import { NoQueuesError } from './support.ts';

/** What queues are built from. */
export interface QueuesOptions {
  /** Whether pods get queues at all. If not, those of an earlier agent are removed once. */
  readonly enabled: boolean;
  readonly tc: Tc;
  readonly devices: PodDevices;
  /** The classifier of the programs that are installed. */
  readonly classifier: () => Classifier;
  readonly log: Log;
}

/** What is known about the queues. */
export interface QueuesReport {
  /** Pods, by uid, whose queue is in force. */
  readonly has: ReadonlySet<string>;
  /** Why pods, by uid, that should have a queue have none: a clause. */
  readonly problems: ReadonlyMap<string, string>;
  /** How much failed that may go well another time. */
  readonly failures: number;
}

/** The running part. */
export interface Queues {
  /**
   * Makes the queues agree with the pods. A pod without a slot gets none yet. Never fails: a pod without a queue is
   * policed.
   * @param slots the slots that the pods hold
   * @param full whether to look at the devices also where nothing else is asked for than the last time
   */
  settle(pods: readonly ShapedPod[], slots: readonly SlotState[], full: boolean): QueuesReport;
}

/** Builds it. */
export function createQueues({ enabled, tc, devices, classifier, log }: QueuesOptions): Queues {
  let cleared = false;
  let reported = new Map<string, string>();
  let settled: { readonly asked: string; readonly report: QueuesReport } | undefined;

  const clear = () => {
    if (cleared) return;
    cleared = true;
    const { done, failed } = settleQueues(tc, podHandle, new Map());
    if (done.length > 0) log.info({ queues: done.length }, 'the queues of an earlier agent are removed');
    for (const [device, error] of failed) log.error({ device, error: error.message }, 'a queue cannot be removed');
  };
  const settle = (pods: readonly ShapedPod[], slots: readonly SlotState[]): QueuesReport => {
    const program = classifier();
    const slotOf = new Map(slots.flatMap((slot) => (slot.isMapped ? [[slot.owner, slot.slot]] : [])));
    const wanting = pods.filter((pod) => wantsQueue(pod) && slotOf.has(ownerOf(pod)));
    const addresses = new Set(wanting.filter(hasOwnNetwork).flatMap((pod) => pod.network.addresses));
    const found = addresses.size > 0 ? devices.find(addresses) : new Map<string, HostDevice | MissingDevice>();
    const deviceOf = new Map(wanting.map((pod) => [pod, deviceOfPod(pod, found)]));
    const queues = queuesOf(deviceOf, (pod) => ({ slot: slotOf.get(ownerOf(pod)) ?? 0, classifier: program }));
    const { foreign, failed, done } = settleQueues(tc, podHandle, queues);
    if (done.length > 0) log.info({ queues: done.map(({ kind, device }) => `${kind} ${device}`) }, 'queues changed');
    const problems = new Map<string, string>();
    for (const [pod, device] of deviceOf) {
      if (typeof device === 'string') {
        problems.set(pod.uid, device);
        continue;
      }
      const other = foreign.get(device.name);
      const error = failed.get(device.name);
      if (other) problems.set(pod.uid, foreignQueue(other));
      else if (error) problems.set(pod.uid, `${device.name}: ${error.message}`);
    }
    const has = new Set(wanting.map(({ uid }) => uid).filter((uid) => !problems.has(uid)));
    return { has, problems, failures: [...failed.values()].filter(mayGoWell).length };
  };
  const warn = (pods: readonly ShapedPod[], problems: QueuesReport['problems']) => {
    for (const { uid, namespace, name } of pods) {
      const problem = problems.get(uid);
      if (problem !== undefined && reported.get(uid) !== problem) {
        log.warn({ pod: `${namespace}/${name}`, problem }, 'what a pod receives is policed, not queued');
      }
    }
    reported = new Map(problems);
  };
  const allWith = (pods: readonly ShapedPod[], problem: string, failures: number): QueuesReport => ({
    has: new Set(),
    problems: new Map(pods.filter(wantsQueue).map(({ uid }) => [uid, problem])),
    failures,
  });

  const attempt = (pods: readonly ShapedPod[], slots: readonly SlotState[]): QueuesReport => {
    try {
      return settle(pods, slots);
    } catch (error) {
      if (error instanceof Error) return allWith(pods, error.message, 1);
      throw error;
    }
  };

  return {
    settle(pods, slots, full) {
      if (!enabled) {
        clear();
        return allWith(pods, switchedOff, 0);
      }
      // Passes come with every container that starts, and to look at all devices takes milliseconds.
      const asked = askedOf(pods, slots, classifier());
      if (!full && settled?.asked === asked) return settled.report;
      const report = attempt(pods, slots);
      warn(pods, report.problems);
      settled = report.failures === 0 ? { asked, report } : undefined;
      return report;
    },
  };
}

/** All that queues are made from. */
function askedOf(pods: readonly ShapedPod[], slots: readonly SlotState[], { id }: Classifier): string {
  return JSON.stringify([
    id,
    pods.map(({ uid, limit, network, terminating }) => [uid, limit, network, terminating]),
    slots.map(({ slot, owner, isMapped }) => [slot, owner, isMapped]),
  ]);
}

function mayGoWell(error: Error): boolean {
  return !(error instanceof NoQueuesError);
}

const switchedOff = 'queues are switched off (--ingress-queue, key ingress-queue of ConfigMap podrate)';
const sharedNetwork = "with hostNetwork it has no device of its own: run it in a network of the pod's own";
const missing: Readonly<Record<MissingDevice, string>> = {
  none: "no veth of the agent's network leads to its address: the agent needs hostNetwork, and the pod a veth of its own",
  ambiguous: 'two network namespaces have its address: find out which pod has taken it',
};

/** Says that another program's queueing discipline is in the way, and what to do. */
export function foreignQueue({ device, kind, handle }: { device: string; kind: string; handle: string }): string {
  const remedy = `remove it (tc qdisc del dev ${device} root) and whatever installs it`;
  return `another program has installed a root qdisc on ${device} (${kind} ${handle}): ${remedy}`;
}

/** Before the kubelet has reported the addresses of a pod, its device is not known. */
function wantsQueue({ limit, network }: ShapedPod): boolean {
  const isKnown = network.isHost || network.addresses.length > 0;
  return isKnown && !(limit instanceof Error) && limit.ingress !== undefined;
}

function hasOwnNetwork({ network }: ShapedPod): boolean {
  return !network.isHost;
}

/** The device of a pod, or why there is none. */
function deviceOfPod(
  { network }: ShapedPod,
  found: ReadonlyMap<string, HostDevice | MissingDevice>,
): HostDevice | string {
  if (network.isHost) return sharedNetwork;
  const each = network.addresses.map((address) => found.get(address) ?? 'none');
  const device = each.find((one) => typeof one === 'object');
  return device ?? missing[each.includes('ambiguous') ? 'ambiguous' : 'none'];
}

/** A pod that is about to end may have given its address to another one already: that one comes last, and counts. */
function queuesOf(
  deviceOf: ReadonlyMap<ShapedPod, HostDevice | string>,
  classify: (pod: ShapedPod) => Pick<Queue, 'slot' | 'classifier'>,
): Map<string, Queue> {
  const queues = new Map<string, Queue>();
  const inOrder = [...deviceOf].sort(([one], [other]) => Number(other.terminating) - Number(one.terminating));
  for (const [pod, device] of inOrder) {
    if (typeof device === 'string' || pod.limit instanceof Error || pod.limit.ingress === undefined) continue;
    queues.set(device.name, { rate: pod.limit.ingress, mtu: device.mtu, ...classify(pod) });
  }
  return queues;
}
