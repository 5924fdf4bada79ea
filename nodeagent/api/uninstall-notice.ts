/** Tells the pods of a node that their limits are gone. */
import type { KubeConfig } from '@kubernetes/client-node';
import { conditionPatch } from '../../kube/pod-condition.ts';
import { shapedPods } from '../pods/desired.ts';
import { transition } from './condition-writer.ts';
import { eventWriter } from './events.ts';
import { uninstalledCondition } from './limited-condition.ts';
import { listPods } from './pods.ts';

/**
 * Writes the condition of every pod whose condition says that its limit is, or may be, in force, and an event.
 * @param now wall clock, in ms since the epoch
 * @throws if the API server does not answer
 */
export async function tellUninstalled(kubeConfig: KubeConfig, nodeName: string, now: () => number): Promise<void> {
  const patch = conditionPatch(kubeConfig);
  const writeEvent = eventWriter(kubeConfig, nodeName, now);
  for (const pod of shapedPods(await listPods(kubeConfig, nodeName))) {
    if (pod.condition === undefined || pod.condition.status === 'False') continue;
    const lastTransitionTime = transition(pod, uninstalledCondition, now());
    const outcome = await patch(pod, { ...uninstalledCondition, lastTransitionTime });
    if (outcome === 'done') await writeEvent(pod, pod.condition.status, uninstalledCondition);
  }
}
