/** Takes podrate off a node. */
import type { Marker } from './dscp/marker.ts';
import { removeQueues } from './ingress-queue/settle.ts';
import type { NetworkNamespace } from './net/namespaces.ts';
import { detachStep, releaseMs } from './reconcile/plan.ts';
import type { Shaper } from './shaper/shaper.ts';
import type { Step } from './shaper/steps.ts';

/**
 * Takes all marks and queues off, sets all sockets free, detaches all programs, and removes all pins, those of other
 * versions too.
 * @param namespaces those that may have marks
 * @param wait waits for a time in ms
 * @returns what went wrong; the pins stay then
 * @throws BpfError, NetlinkError
 */
export async function uninstall(
  { shaper, marker }: { readonly shaper: Shaper; readonly marker: Pick<Marker, 'isUsed' | 'clearAll'> },
  namespaces: readonly NetworkNamespace[],
  wait: (ms: number) => Promise<unknown>,
): Promise<readonly Error[]> {
  const marked = marker.isUsed() ? marker.clearAll(namespaces) : [];
  removeQueues();
  // Without all of its maps nobody can tell what is limited: to remove the pins takes everything off.
  const slots = shaper.isInstalled() ? shaper.observe() : [];
  const releases = slots.map(
    ({ slot, owner, config }): Step => ({ kind: 'update', slot, owner, config: { ...config, release: true } }),
  );
  shaper.apply(releases);
  if (releases.length > 0) await wait(releaseMs);
  const failures = shaper.apply(slots.map((slot) => detachStep(slot, [])));
  if (failures.length === 0) shaper.remove();
  return [...marked, ...failures.map(({ error }) => error)];
}
