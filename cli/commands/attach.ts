import type { Cgroup } from '../../nodeagent/cgroup/tree.ts';
import type { Node } from '../../nodeagent/open-node.ts';
import { configOfLimit } from '../../nodeagent/pods/desired.ts';
import { isManual, manualOwner } from '../../nodeagent/pods/owner.ts';
import { type Plan, plan } from '../../nodeagent/reconcile/plan.ts';
import type { SlotConfig } from '../../nodeagent/shaper/layout.ts';
import type { SlotState } from '../../nodeagent/shaper/steps.ts';
import { type CgroupOptions, namedCgroup } from '../cgroup/cgroup.ts';
import { CommandError } from '../errors.ts';
import { adoptOlder, type Wait } from '../limit/adopt.ts';
import type { Change } from '../limit/change.ts';
import { type LimitOptions, readLimit, requireIngress } from '../limit/limit.ts';
import { namespacesToMark, withMark, withoutMark } from '../limit/mark.ts';
import { type QueueChoice, removeQueue, settleQueue } from '../limit/queue.ts';

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
  shaper.install();
  const release = shaper.installRelease();
  const slots = shaper.observe();
  refusePods(cgroup, slots);

  const owner = manualOwner(cgroup.id);
  const isInForce = (slot: SlotState) => slot.owner === owner && slot.isMapped && !slot.config.release;
  const before = slots.find(isInForce)?.config;
  const { config, queue } = choose(before);
  const planWith = (queued: boolean) =>
    plan({
      targets: [{ owner, cgroup, config: { ...config, queued } }],
      keep: new Set(slots.map((slot) => slot.owner).filter((other) => other !== owner)),
      slots,
      releasedMs: () => 0,
      goneMs: () => 0,
    });
  const slot = slotOf(owner, planWith(false), slots);
  const limit = { rate: config.ingress.rate, slot, classifier: shaper.classifier() };
  const { queued, warnings } = await settleQueue(cgroup, limit, queue);
  const { steps } = planWith(queued);
  const [failure] = shaper.apply(steps.filter((step) => step.owner === owner));
  const after = shaper.observe().find(isInForce)?.config;
  if (failure !== undefined || after === undefined) {
    if (after === undefined) await removeQueue(cgroup, limit);
    const message = failure?.error.message ?? `${cgroup.path} vanished, or another process changed it: try again`;
    throw new CommandError('cli/failed', message, { cause: failure?.error });
  }
  // What another version has attached to it would limit it too.
  shaper.leaveOtherLayouts(new Set([cgroup.id]));
  const problems =
    release === undefined ? [] : [`Connections that are idle at a detach keep their pace: ${release.message}`];
  return { cgroup, before, after, warnings: [...problems, ...warnings] };
}

/** The slot that a plan gives to an owner, or that it holds already. @throws CommandError if none is free */
function slotOf(owner: string, { steps, refused }: Plan, slots: readonly SlotState[]): number {
  const attached = steps.find((step) => step.kind === 'attach' && step.owner === owner);
  const held = slots.find((slot) => slot.owner === owner && slot.isMapped);
  const slot = attached?.kind === 'attach' ? attached.slot : held?.slot;
  if (slot !== undefined && refused.length === 0) return slot;
  throw new CommandError('cli/no-slot', 'all 1023 slots of this machine are taken: detach something first');
}

/** Refuses a cgroup that the agent has limited. @throws CommandError */
export function refusePods(cgroup: Cgroup, slots: readonly SlotState[]): void {
  const pod = slots.find((slot) => slot.cgroupId === cgroup.id && slot.isMapped && !isManual(slot));
  if (pod === undefined) return;
  throw new CommandError(
    'cli/pod',
    `${cgroup.path} belongs to the pod with uid ${pod.owner.replace(/^pod\//, '')}: change the pod's rate label instead`,
  );
}
