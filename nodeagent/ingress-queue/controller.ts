/** Keeps the ingress queues of this node's pods as they should be. */

import { orUndefined, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { ShapedPod } from '../pods/desired.ts';
import { ownerOf } from '../pods/owner.ts';
import type { Shaper } from '../shaper/shaper.ts';
import type { SlotState } from '../shaper/steps.ts';
import { createPodDevices, type HostDevice, type MissingDevice } from './devices.ts';
import { podHandle, type Queue } from './htb.ts';
import { type RootQueue, settleQueues } from './settle.ts';
import { NoQueuesError } from './support.ts';

/** What queues are built from. */
export interface QueuesOptions {
  /** Whether pods get queues at all. If not, those of an earlier agent are removed. */
  readonly enabled: boolean;
  /** The file of the network namespace with the node's ends of the pods' devices; undefined: this process's own. */
  readonly namespace?: string;
  readonly shaper: Pick<Shaper, 'classifier' | 'bypassing'>;
  readonly log: Log;
}

/** What is known about the queues. */
export interface QueuesReport {
  /** Pods, by uid, whose queue is in force. */
  readonly has: ReadonlySet<string>;
  /** Why pods, by uid, are policed that should have a queue: a clause. */
  readonly problems: ReadonlyMap<string, string>;
  /** Whether something failed that may go well another time. */
  readonly failed: boolean;
}

/** The queues of a node's pods. */
export type Queues = ReturnType<typeof createQueues>;

/** Builds them. */
export function createQueues({ enabled, namespace, shaper, log }: QueuesOptions) {
  const findDevices = createPodDevices(namespace);
  const scope = { namespace, handle: podHandle };
  let reported: QueuesReport['problems'] = new Map();
  let settled: { readonly asked: string; readonly report: QueuesReport } | undefined;

  const settle = (pods: readonly ShapedPod[], slots: readonly SlotState[]): QueuesReport => {
    const classifier = shaper.classifier();
    const slotOf = new Map(slots.flatMap((slot) => (slot.isMapped ? [[slot.owner, slot.slot]] : [])));
    const wanting = enabled ? pods.filter((pod) => wantsQueue(pod) && slotOf.has(ownerOf(pod))) : [];
    const addresses = new Set(wanting.flatMap(({ network }) => (network.isHost ? [] : network.addresses)));
    const found = addresses.size > 0 ? findDevices(addresses) : new Map<string, HostDevice | MissingDevice>();
    const deviceOf = new Map(wanting.map((pod) => [pod, deviceOfPod(pod, found)]));
    const queues = new Map<number, Queue>();
    // A pod that is about to end may have given its address to another one already: that one comes last, and counts.
    const inOrder = [...deviceOf].sort(([one], [other]) => Number(other.terminating) - Number(one.terminating));
    for (const [pod, device] of inOrder) {
      if (typeof device === 'string' || pod.limit instanceof Error) continue;
      const slot = slotOf.get(ownerOf(pod)) ?? 0;
      queues.set(device.index, { rate: pod.limit.ingress ?? 0, mtu: device.mtu, slot, classifier });
    }
    const { foreign, failed, put, removed } = settleQueues(scope, queues);
    // Devices by their indexes.
    if (put.length + removed.length > 0) log.info({ put, removed }, 'queues changed');
    const problems = new Map<string, string>();
    for (const [{ uid }, device] of deviceOf) {
      const [other, error] = typeof device === 'string' ? [] : [foreign.get(device.index), failed.get(device.index)];
      if (typeof device === 'string') problems.set(uid, device);
      else if (other) problems.set(uid, foreignQueue(device.name, other));
      else if (error) problems.set(uid, `${device.name}: ${error.message}`);
    }
    const has = new Set(wanting.map(({ uid }) => uid).filter((uid) => !problems.has(uid)));
    if (!enabled) for (const { uid } of pods.filter(wantsQueue)) problems.set(uid, switchedOff);
    return { has, problems, failed: [...failed.values()].some((error) => !(error instanceof NoQueuesError)) };
  };
  const attempt = (pods: readonly ShapedPod[], slots: readonly SlotState[]): QueuesReport => {
    try {
      const { has, problems, failed } = settle(pods, slots);
      // The slots say what was in force before.
      const passedBy = new Set(shaper.bypassing(slots.filter(({ config }) => config.queued)).map(({ owner }) => owner));
      const bypassed = pods.filter((pod) => has.has(pod.uid) && passedBy.has(ownerOf(pod)));
      return { has, failed, problems: new Map([...problems, ...bypassed.map(({ uid }) => [uid, bypass] as const)]) };
    } catch (error) {
      const problems = new Map(pods.filter(wantsQueue).map(({ uid }) => [uid, toError(error).message]));
      return { has: new Set(), problems, failed: true };
    }
  };

  return {
    /**
     * Makes the queues agree with the pods. A pod without a slot gets none yet. Never fails: a pod without a queue is
     * policed.
     * @param slots the slots that the pods hold
     * @param full whether to look at the devices also where nothing else is asked for than the last time
     */
    settle(pods: readonly ShapedPod[], slots: readonly SlotState[], full: boolean): QueuesReport {
      // Passes come with every container that starts, and to look at all devices takes milliseconds.
      const asked = JSON.stringify([
        orUndefined(() => shaper.classifier().id),
        pods.map(({ uid, limit, network, terminating }) => [uid, limit, network, terminating]),
        slots.map(({ slot, owner, isMapped }) => [slot, owner, isMapped]),
      ]);
      if (!full && settled?.asked === asked) return settled.report;
      const report = attempt(pods, slots);
      for (const { uid, namespace, name } of enabled ? pods : []) {
        const problem = report.problems.get(uid);
        if (problem === undefined || reported.get(uid) === problem) continue;
        log.warn({ pod: `${namespace}/${name}`, problem }, 'what a pod receives is policed, not queued');
      }
      reported = report.problems;
      settled = report.failed ? undefined : { asked, report };
      return report;
    },
  };
}

const switchedOff = 'queues are switched off (--ingress-queue, key ingress-queue of ConfigMap podrate)';
const bypass =
  "what it receives does not pass the node's end of its device: switch off the network plugin's host routing";
const sharedNetwork = "with hostNetwork it has no device of its own: run it in a network of the pod's own";
const missing: Readonly<Record<MissingDevice, string>> = {
  none: "no veth of the agent's network leads to its address: the agent needs hostNetwork, and the pod a veth of its own",
  ambiguous: 'two network namespaces have its address: find out which pod has taken it',
};

/** Says that another program's queueing discipline is in the way, and what to do. */
export function foreignQueue(device: string, { kind, handle }: RootQueue): string {
  const remedy = `remove it (tc qdisc del dev ${device} root) and whatever installs it`;
  return `another program has installed a root qdisc on ${device} (${kind} ${(handle >>> 16).toString(16)}:): ${remedy}`;
}

/** Before the kubelet has reported the addresses of a pod, its device is not known. */
function wantsQueue({ limit, network }: ShapedPod): boolean {
  const isKnown = network.isHost || network.addresses.length > 0;
  return isKnown && !(limit instanceof Error) && limit.ingress !== undefined;
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
