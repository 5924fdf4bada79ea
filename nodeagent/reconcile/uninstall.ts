/** Takes podrate off a node. */
import type { Cgroups } from '../cgroup/tree.ts';
import type { Shaper } from '../shaper/shaper.ts';
import type { Step, StepFailure } from '../shaper/steps.ts';
import { detachStep, releaseMs } from './plan.ts';

/**
 * Sets all sockets free, detaches all programs, and removes all pins, those of other versions too.
 * @param wait waits for a time in ms
 * @returns the steps that failed; the pins stay then
 * @throws BpfError
 */
export async function uninstall(
  shaper: Shaper,
  cgroups: Cgroups,
  wait: (ms: number) => Promise<unknown>,
): Promise<readonly StepFailure[]> {
  // Without all of its maps nobody can tell what is limited: to remove the pins takes everything off.
  const before = shaper.isInstalled() ? shaper.observe() : [];
  const releases = before.map(
    ({ slot, owner, config }): Step => ({ kind: 'update', slot, owner, config: { ...config, release: true } }),
  );
  shaper.apply(releases);
  if (releases.length > 0) await wait(releaseMs);
  const failures = shaper.apply(before.map((slot) => detachStep(slot, [])));
  if (failures.length === 0) shaper.remove(await cgroups.all());
  return failures;
}
