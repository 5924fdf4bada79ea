import type { SlotConfig } from '../nodeagent/layout.ts';
import type { Node } from '../nodeagent/node.ts';
import { isManual, manualOwner } from '../nodeagent/owner.ts';
import { plan } from '../nodeagent/plan.ts';
import { configOfLimit } from '../nodeagent/slot-config.ts';
import type { Cgroup, Observation, SlotState } from '../nodeagent/state.ts';
import { adoptOlder, type Wait } from './adopt.ts';
import { type CgroupOptions, namedCgroup } from './cgroup.ts';
import type { Change } from './change.ts';
import { CommandError } from './errors.ts';
import { type LimitOptions, readLimit, requireIngress } from './limit.ts';
import { namespacesToMark, withMark, withoutMark } from './mark.ts';
import { settleQueue } from './queue.ts';

/**
 * Limits and marks the cgroup that the options name, or changes both as a whole.
 * @throws CommandError
 */
export async function attach(node: Node, options: LimitOptions & CgroupOptions, wait: Wait): Promise<Change> {
  const { limit, burstMs, dscp } = readLimit(options);
  const queued = options['ingress-queue'] ?? false;
  requireIngress(queued, limit.ingress);
  const cgroup = await namedCgroup(options, node.cgroupMount);
  const namespaces = dscp === undefined ? [] : await namespacesToMark(cgroup);
  const change = await limitCgroup(node, cgroup, () => configOfLimit(limit, burstMs, queued));
  const marked = dscp === undefined ? withoutMark(node, change) : withMark(node, change, dscp, namespaces);
  return adoptOlder(node, await marked, wait);
}

/**
 * Brings a limit into force on a cgroup.
 * @param choose makes the limit of the one that is in force, which is undefined where none is
 * @throws CommandError, also what `choose` throws
 */
export async function limitCgroup(
  { shaper }: Node,
  cgroup: Cgroup,
  choose: (current: SlotConfig | undefined) => SlotConfig,
): Promise<Change> {
  await shaper.install();
  const release = await shaper.installRelease();
  const observation = await shaper.observe(() => [cgroup]);
  refusePods(cgroup, observation);

  const owner = manualOwner(cgroup.id);
  const isInForce = (slot: SlotState) => slot.owner === owner && slot.marked && !slot.config.release;
  const before = observation.slots.find(isInForce)?.config;
  const config = choose(before);
  await settleQueue(cgroup, before, config);
  const { steps, refused } = plan({
    targets: [{ owner, cgroup, config }],
    keep: new Set(observation.slots.map((slot) => slot.owner).filter((other) => other !== owner)),
    cgroups: new Map([[cgroup.id, cgroup]]),
    observation,
    releasedMs: () => undefined,
    vanishedMs: () => 0,
  });
  if (refused.length > 0) {
    throw new CommandError('cli/no-slot', 'all 1023 slots of this machine are taken: detach something first');
  }
  const failures = await shaper.apply(steps.filter((step) => 'owner' in step && step.owner === owner));
  const [failure] = failures;
  if (failure !== undefined) throw new CommandError('cli/failed', failure.error.message, { cause: failure.error });

  const after = (await shaper.observe(() => [])).slots.find(isInForce)?.config;
  if (after === undefined) {
    throw new CommandError('cli/failed', `${cgroup.path} vanished, or another process changed it: try again`);
  }
  const warnings =
    release === undefined ? [] : [`Connections that are idle at a detach keep their pace: ${release.message}`];
  return { cgroup, before, after, warnings };
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
