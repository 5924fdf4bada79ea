import type { SlotConfig } from '../nodeagent/layout.ts';
import type { Node } from '../nodeagent/node.ts';
import { isManual, manualOwner } from '../nodeagent/owner.ts';
import { type Plan, plan } from '../nodeagent/plan.ts';
import { configOfLimit } from '../nodeagent/slot-config.ts';
import type { Cgroup, Observation, SlotState } from '../nodeagent/state.ts';
import { adoptOlder, type Wait } from './adopt.ts';
import { type CgroupOptions, namedCgroup } from './cgroup.ts';
import type { Change } from './change.ts';
import { CommandError } from './errors.ts';
import { type LimitOptions, readLimit, requireIngress } from './limit.ts';
import { namespacesToMark, withMark, withoutMark } from './mark.ts';
import { type QueueChoice, removeQueue, settleQueue } from './queue.ts';

/**
 * Limits and marks the cgroup that the options name, or changes both as a whole.
 * @throws CommandError
 */
export async function attach(node: Node, options: LimitOptions & CgroupOptions, wait: Wait): Promise<Change> {
  const { limit, burstMs, dscp } = readLimit(options);
  const queue = options['ingress-queue'];
  requireIngress(queue, limit.ingress);
  const cgroup = await namedCgroup(options, node.cgroupMount);
  const namespaces = dscp === undefined ? [] : await namespacesToMark(cgroup);
  const change = await limitCgroup(node, cgroup, () => ({ config: configOfLimit(limit, burstMs), queue }));
  const marked = dscp === undefined ? withoutMark(node, change) : withMark(node, change, dscp, namespaces);
  return adoptOlder(node, await marked, wait);
}

/** A limit, and whether it comes with a queue. */
export interface Choice {
  readonly config: SlotConfig;
  readonly queue: QueueChoice;
}

/**
 * Brings a limit into force on a cgroup.
 * @param choose makes the limit of the one that is in force, which is undefined where none is
 * @throws CommandError, also what `choose` throws
 */
export async function limitCgroup(
  { shaper }: Node,
  cgroup: Cgroup,
  choose: (current: SlotConfig | undefined) => Choice,
): Promise<Change> {
  await shaper.install();
  const release = await shaper.installRelease();
  const observation = await shaper.observe(() => [cgroup]);
  refusePods(cgroup, observation);

  const owner = manualOwner(cgroup.id);
  const isInForce = (slot: SlotState) => slot.owner === owner && slot.marked && !slot.config.release;
  const before = observation.slots.find(isInForce)?.config;
  const { config, queue } = choose(before);
  const planWith = (queued: boolean) =>
    plan({
      targets: [{ owner, cgroup, config: { ...config, queued } }],
      keep: new Set(observation.slots.map((slot) => slot.owner).filter((other) => other !== owner)),
      cgroups: new Map([[cgroup.id, cgroup]]),
      observation,
      releasedMs: () => undefined,
      vanishedMs: () => 0,
    });
  const slot = slotOf(owner, planWith(false), observation);
  const limit = { rate: config.ingress.rate, slot, classifier: shaper.classifier() };
  const { queued, warnings } = await settleQueue(cgroup, limit, queue);
  const { steps } = planWith(queued);
  const [failure] = await shaper.apply(steps.filter((step) => 'owner' in step && step.owner === owner));
  const after = (await shaper.observe(() => [])).slots.find(isInForce)?.config;
  if (failure !== undefined || after === undefined) {
    if (after === undefined) await removeQueue(cgroup, limit);
    const message = failure?.error.message ?? `${cgroup.path} vanished, or another process changed it: try again`;
    throw new CommandError('cli/failed', message, { cause: failure?.error });
  }
  const problems =
    release === undefined ? [] : [`Connections that are idle at a detach keep their pace: ${release.message}`];
  return { cgroup, before, after, warnings: [...problems, ...warnings] };
}

/** The slot that a plan gives to an owner, or that it holds already. @throws CommandError if none is free */
function slotOf(owner: string, { steps, refused }: Plan, { slots, generation }: Observation): number {
  const attached = steps.find((step) => step.kind === 'attach' && step.owner === owner);
  const held = slots.find((slot) => slot.owner === owner && slot.generation === generation && slot.marked);
  const slot = attached?.kind === 'attach' ? attached.slot : held?.slot;
  if (slot !== undefined && refused.length === 0) return slot;
  throw new CommandError('cli/no-slot', 'all 1023 slots of this machine are taken: detach something first');
}

/** Refuses a cgroup that the agent has limited. @throws CommandError */
export function refusePods(cgroup: Cgroup, { slots }: Observation): void {
  const pod = slots.find((slot) => slot.cgroupId === cgroup.id && slot.marked && !isManual(slot));
  if (pod === undefined) return;
  throw new CommandError(
    'cli/pod',
    `${cgroup.path} belongs to the pod with uid ${pod.owner.replace(/^pod\//, '')}: change the pod's rate label instead`,
  );
}
