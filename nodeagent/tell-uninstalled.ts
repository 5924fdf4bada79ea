/** Tells the pods of a node that their limits are gone. */
import type { KubeConfig } from '@kubernetes/client-node';
import { uninstalledCondition } from './condition.ts';
import { transition } from './conditions.ts';
import { shapedPods } from './desired.ts';
import type { Clock } from './loop.ts';
import { conditionPatch, listPods } from './pods.ts';

/**
 * Writes the condition of every pod whose condition says that its limit is in force.
 * @param now wall clock, in ms since the epoch
 * @throws if the API server does not answer
 */
export async function tellUninstalled(
  kubeConfig: KubeConfig,
  nodeName: string,
  clock: Clock,
  now: () => number,
): Promise<void> {
  const patch = conditionPatch(kubeConfig, clock);
  for (const pod of shapedPods(await listPods(kubeConfig, nodeName, clock))) {
    if (pod.condition?.status !== 'True') continue;
    const lastTransitionTime = transition(pod, uninstalledCondition, now());
    await patch(pod, { ...uninstalledCondition, lastTransitionTime });
  }
}
