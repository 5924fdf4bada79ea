/**
 * Pods whose agent is gone: what it said about their limit is not known to be true any more. Agents write nothing while
 * nothing changes, so that thousands cost an API server nothing; whether they live is what their Service's
 * EndpointSlices say, which Kubernetes keeps by their readiness.
 */
import type { KubeConfig } from '@kubernetes/client-node';
import { callApi } from '../../kube/call.ts';
import { conditionPatch, conditionTime } from '../../kube/pod-condition.ts';
import { limitedCondition, shapedLabel, shapedValue } from '../../rate/keys.ts';
import type { Clock } from '../cluster/clock.ts';

/** What is looked for with. */
export interface SilentAgentsOptions {
  readonly kubeConfig: KubeConfig;
  /** podrate's own namespace, where the agents are. */
  readonly namespace: string;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Wall clock, in ms since the epoch. */
  readonly dateMs: () => number;
  /** Called with each failure; another look follows. */
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

interface Slices {
  readonly items: readonly {
    readonly endpoints?:
      | readonly { readonly nodeName?: string; readonly conditions?: { readonly ready?: boolean } }[]
      | null;
  }[];
}

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly namespace: string; readonly name: string; readonly uid: string };
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}

const everyMs = 60_000;
const timeoutMs = 10_000;
const agents = 'podrate-agent';

/**
 * Says of pods on nodes whose agent is not ready at two looks, a minute apart, that nobody knows whether they are
 * limited; until the signal is aborted. The agent says so itself again when it is back.
 */
export async function reportSilentAgents(options: SilentAgentsOptions): Promise<void> {
  const { kubeConfig, namespace, clock, random, dateMs, onError, signal } = options;
  /** Whether each node's agent was ready at the last look. */
  let before: ReadonlyMap<string, boolean> = new Map();
  const tell = async (node: string) => {
    const lastTransitionTime = conditionTime(dateMs());
    const message = `Whether the limit is in force is not known: the agent of node ${node} has not been ready for a minute.`;
    for (const { metadata, status } of await limitedPods(kubeConfig, node)) {
      const said = status?.conditions?.find(({ type }) => type === limitedCondition);
      if (said?.status !== 'True') continue;
      await conditionPatch(kubeConfig)(metadata, {
        status: 'Unknown',
        reason: 'AgentGone',
        message,
        lastTransitionTime,
      });
    }
  };
  while (!signal.aborted) {
    try {
      const ready = await readyAgents(kubeConfig, namespace);
      // Of a node that is gone for good there are no pods any more.
      const silent = [...before].filter(([node, wasReady]) => !wasReady && ready.get(node) !== true);
      for (const [node] of silent) await tell(node);
      const missing = [...before.keys()].filter((node) => !ready.has(node) && !silent.some(([each]) => each === node));
      before = new Map([...missing.map((node) => [node, false] as const), ...ready]);
    } catch (error) {
      if (!signal.aborted) onError(error);
    }
    // Replicas that look in step would only do the same twice.
    await clock.sleep(everyMs * (0.75 + random() / 4), signal);
  }
}

/** Returns the nodes with an agent, and whether it is ready. @throws ApiFailure */
async function readyAgents(kubeConfig: KubeConfig, namespace: string): Promise<Map<string, boolean>> {
  const slices = await callApi<Slices>(kubeConfig, {
    method: 'GET',
    path: `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`,
    // Out of the API server's memory.
    query: { labelSelector: `kubernetes.io/service-name=${agents}`, resourceVersion: '0' },
    what: 'list the endpoints of the agents',
    timeoutMs,
  });
  const ready = new Map<string, boolean>();
  for (const { nodeName, conditions } of slices?.items.flatMap(({ endpoints }) => endpoints ?? []) ?? []) {
    if (nodeName === undefined) continue;
    // Each address family has slices of its own. Undefined means ready.
    ready.set(nodeName, ready.get(nodeName) === true || conditions?.ready !== false);
  }
  return ready;
}

async function limitedPods(kubeConfig: KubeConfig, node: string): Promise<Pods['items']> {
  const pods = await callApi<Pods>(kubeConfig, {
    method: 'GET',
    path: '/api/v1/pods',
    query: { fieldSelector: `spec.nodeName=${node}`, labelSelector: `${shapedLabel}=${shapedValue}` },
    what: `list the limited pods of node ${node}`,
    timeoutMs,
  });
  return pods?.items ?? [];
}
