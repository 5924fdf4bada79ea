import { describe } from '../nodeagent/condition.ts';
import type { Node } from '../nodeagent/node.ts';
import { isManual, manualOwner } from '../nodeagent/owner.ts';
import { plan } from '../nodeagent/plan.ts';
import { configOfLimit } from '../nodeagent/slot-config.ts';
import type { Cgroup, Observation } from '../nodeagent/state.ts';
import { namedCgroup } from './cgroup.ts';
import { CommandError } from './errors.ts';
import { type LimitOptions, readLimit } from './limit.ts';

/**
 * Limits a cgroup, or changes its limit.
 * @returns what is in force now, in words
 * @throws CommandError
 */
export async function attach(
  node: Node,
  options: LimitOptions & { readonly cgroup?: string | undefined },
): Promise<string> {
  const { limit, burstMs } = readLimit(options);
  const cgroup = await namedCgroup(options.cgroup, node.cgroupMount);
  const { shaper } = node;
  await shaper.install();
  const sender = await shaper.installSender();
  const observation = await shaper.observe(() => [cgroup]);
  refusePods(cgroup, observation);

  const owner = manualOwner(cgroup.id);
  const config = configOfLimit(limit, burstMs);
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

  const after = await shaper.observe(() => []);
  const slot = after.slots.find((candidate) => candidate.owner === owner && candidate.marked);
  if (slot === undefined) {
    throw new CommandError('cli/failed', `${cgroup.path} vanished, or another process changed it: try again`);
  }
  const warning = sender === undefined ? '' : `\nSenders on this machine are not told to slow down: ${sender.message}`;
  return `${cgroup.path}: ${describe(slot.config).replace('The pod', 'It')}${warning}`;
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
