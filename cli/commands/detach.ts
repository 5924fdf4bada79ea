import type { Cgroup } from '../../nodeagent/cgroup/tree.ts';
import type { Node } from '../../nodeagent/open-node.ts';
import { isManual } from '../../nodeagent/pods/owner.ts';
import { detachStep, releaseMs } from '../../nodeagent/reconcile/plan.ts';
import type { Step } from '../../nodeagent/shaper/steps.ts';
import { type CgroupOptions, namedCgroup } from '../cgroup/cgroup.ts';
import { CommandError } from '../errors.ts';
import { adoptOlder, type Wait } from '../limit/adopt.ts';
import type { Change } from '../limit/change.ts';
import { withMark } from '../limit/mark.ts';
import { removeQueue } from '../limit/queue.ts';
import { refusePods } from './attach.ts';

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
  shaper.install();
  const before = shaper.observe();
  refusePods(cgroup, before);
  const slots = before.filter((slot) => slot.cgroupId === cgroup.id && isManual(slot));
  const change: Change = { cgroup, before: slots[0]?.config, after: undefined, warnings: [] };
  shaper.leaveOtherLayouts(new Set([cgroup.id]));
  if (slots.length === 0) {
    await removeQueue(cgroup);
    return change;
  }

  shaper.apply(
    slots.map(({ slot, owner, config }): Step => {
      return { kind: 'update', slot, owner, config: { ...config, release: true } };
    }),
  );
  await wait(releaseMs);
  await adoptOlder(node, change, async () => {});
  const [failure] = shaper.apply(slots.map((slot) => detachStep(slot, [])));
  if (failure !== undefined) throw new CommandError('cli/failed', failure.error.message, { cause: failure.error });
  const [held] = slots;
  await removeQueue(cgroup, held && { slot: held.slot, classifier: shaper.classifier() });
  return change;
}
