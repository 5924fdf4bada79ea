/** Takes podrate off a node. */
import type { Cgroups } from './cgroups.ts';
import { type Hook, hooks } from './hooks.ts';
import { releaseMs } from './plan.ts';
import type { Shaper } from './shaper.ts';
import { attachedHooks, type Step, type StepFailure } from './state.ts';

const allHooks: ReadonlySet<Hook> = new Set(hooks);

/**
 * Sets all sockets free, detaches the programs of all generations from all cgroups, and removes all pins. If a step fails the pins
 * stay, because without them nothing could find again what is still attached.
 * @param wait waits for a time in ms
 * @returns the steps that failed
 */
export async function uninstall(
  shaper: Shaper,
  cgroups: Cgroups,
  wait: (ms: number) => Promise<unknown>,
): Promise<readonly StepFailure[]> {
  await shaper.install();
  const before = await shaper.observe(() => []);
  const releases = before.slots.map(
    (slot): Step => ({ ...slot, kind: 'update', config: { ...slot.config, release: true } }),
  );
  await shaper.apply(releases);
  if (releases.length > 0) await wait(releaseMs);

  const existing = await cgroups.find(new Set(before.slots.map((slot) => slot.cgroupId)));
  const observation = await shaper.observe((slots) =>
    slots.filter((slot) => !slot.marked).flatMap((slot) => existing.get(slot.cgroupId) ?? []),
  );
  const steps = observation.slots.map((slot): Step => {
    const cgroup = existing.get(slot.cgroupId);
    const known = observation.known.get(slot.generation)?.has(slot.cgroupId) ?? false;
    if (cgroup === undefined) return { ...slot, kind: 'free', known: false };
    const attached = attachedHooks(observation, slot.generation, slot.cgroupId, allHooks);
    return { ...slot, kind: 'detach', cgroup, hooks: hooks.filter((hook) => attached.has(hook)), known };
  });
  const failures = await shaper.apply(steps);
  if (failures.length === 0) await shaper.remove();
  return failures;
}
