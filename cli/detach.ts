import { type Hook, hooks } from '../nodeagent/hooks.ts';
import type { Node } from '../nodeagent/node.ts';
import { isManual } from '../nodeagent/owner.ts';
import { releaseMs } from '../nodeagent/plan.ts';
import { attachedHooks, type Cgroup, type Step } from '../nodeagent/state.ts';
import { adoptOlder, type Wait } from './adopt.ts';
import { refusePods } from './attach.ts';
import { type CgroupOptions, namedCgroup } from './cgroup.ts';
import type { Change } from './change.ts';
import { CommandError } from './errors.ts';
import { withMark } from './mark.ts';
import { removeQueue } from './queue.ts';

const allHooks: ReadonlySet<Hook> = new Set(hooks);

/**
 * Takes limit and mark off the cgroup that the options name.
 * @param wait waits for a time in ms
 * @throws CommandError
 */
export async function detach(node: Node, options: CgroupOptions, wait: Wait): Promise<Change> {
  const cgroup = await namedCgroup(options, node.cgroupMount);
  return withMark(node, await freeCgroup(node, cgroup, wait), undefined, []);
}

/**
 * Takes the limit off a cgroup: sets its sockets free, waits until they had a chance to notice, and takes the programs off.
 * @param wait waits for a time in ms
 * @throws CommandError
 */
export async function freeCgroup(node: Node, cgroup: Cgroup, wait: Wait): Promise<Change> {
  const { shaper } = node;
  await shaper.install();
  const observation = await shaper.observe(() => [cgroup]);
  refusePods(cgroup, observation);
  const slots = observation.slots.filter((slot) => slot.cgroupId === cgroup.id && isManual(slot));
  const change: Change = { cgroup, before: slots[0]?.config, after: undefined, warnings: [] };
  if (slots.length === 0) {
    await removeQueue(cgroup);
    return change;
  }

  await shaper.apply(
    slots.map((slot): Step => ({ ...slot, kind: 'update', config: { ...slot.config, release: true } })),
  );
  await wait(releaseMs);
  await adoptOlder(node, change, async () => {});
  const failures = await shaper.apply(
    slots.map((slot): Step => {
      const attached = attachedHooks(observation, slot.generation, cgroup.id, allHooks);
      const known = observation.known.get(slot.generation)?.has(cgroup.id) ?? false;
      return { ...slot, kind: 'detach', cgroup, hooks: hooks.filter((hook) => attached.has(hook)), known };
    }),
  );
  const [failure] = failures;
  if (failure !== undefined) throw new CommandError('cli/failed', failure.error.message, { cause: failure.error });
  const held = slots.find(({ generation }) => generation === observation.generation);
  await removeQueue(cgroup, held && { slot: held.slot, classifier: shaper.classifier() });
  return change;
}
