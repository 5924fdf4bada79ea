/**
 * The taint with which nodes register so that no pod comes before the agent is ready. Provisioners set it; the agent
 * takes it off its own node.
 */
import type { KubeConfig, V1Node, V1Taint } from '@kubernetes/client-node';
import { callApi } from '../../kube/call.ts';
import { backOff } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

/** The taint's key, with any value and effect. */
export const startupTaint = 'podrate.dev/agent-not-ready';

const timeoutMs = 10_000;
const backOffMs = { first: 500, longest: 30_000 };

/**
 * Takes the taint off a node, and no other, once.
 * @returns whether it is gone; false where the node changed meanwhile
 * @throws ApiFailure
 */
export async function removeStartupTaint(kubeConfig: KubeConfig, nodeName: string): Promise<boolean> {
  const path = `/api/v1/nodes/${encodeURIComponent(nodeName)}`;
  const what = `take the taint ${startupTaint} off node ${nodeName}`;
  const node = await callApi<V1Node>(kubeConfig, { method: 'GET', path, what, timeoutMs });
  const taints: readonly V1Taint[] = node?.spec?.taints ?? [];
  const others = taints.filter(({ key }) => key !== startupTaint);
  if (others.length === taints.length) return true;
  const body = { metadata: { resourceVersion: node?.metadata?.resourceVersion }, spec: { taints: others } };
  const type = 'application/merge-patch+json';
  const call = { method: 'PATCH', path, body, type, what, timeoutMs, except: [409] } as const;
  return (await callApi(kubeConfig, call)) !== undefined;
}

/** Takes the taint off a node, however often it has to be tried. */
export function keepRemovingStartupTaint(kubeConfig: KubeConfig, nodeName: string, clock: Clock, log: Log): void {
  let failures = 0;
  const attempt = async () => {
    try {
      if (await removeStartupTaint(kubeConfig, nodeName)) return;
    } catch (error) {
      log.warn({ error: toError(error).message }, 'the startup taint stays for now');
    }
    clock.after(backOff(backOffMs, failures, clock.random()), () => void attempt());
    failures += 1;
  };
  void attempt();
}
