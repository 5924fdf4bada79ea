/** The API server's view of this node's pods: the list and the watch. */
import type { KubeConfig, V1Pod, V1PodList } from '@kubernetes/client-node';
import { callApi } from '../../kube/call.ts';
import { type ObjectEvent, watchFrom } from '../../kube/watch.ts';
import { shapedLabel, shapedValue } from '../../rate/keys.ts';
import { type BackOff, backOff } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';

/** What a watch is built from. */
export interface PodsOptions {
  readonly kubeConfig: KubeConfig;
  readonly nodeName: string;
  /** Called after each list and each event. */
  readonly onChange: () => void;
  /** Called when the list or the watch failed; another try follows. */
  readonly onError: (error: Error, retryMs: number) => void;
  readonly clock: Clock;
  /** Waits before another try. */
  readonly backOffMs?: BackOff;
}

const path = '/api/v1/pods';
const answerTimeoutMs = 30_000;
// As client-go: between five and ten minutes, so that the agents of a cluster do not come at once.
const watchSeconds = 300;
const reopenMs = 100;

/** What this node's pods are selected by, on the server. */
function selectors(nodeName: string) {
  return { fieldSelector: `spec.nodeName=${nodeName}`, labelSelector: `${shapedLabel}=${shapedValue}` };
}

// The API server answers such a list out of its memory; without a version old ones (1.30) read all pods from etcd.
const anyVersion = { resourceVersion: '0' };

async function list(kubeConfig: KubeConfig, query: Readonly<Record<string, string>>): Promise<V1PodList> {
  const call = { method: 'GET', path, query, what: 'list the pods of this node', timeoutMs: answerTimeoutMs } as const;
  return (await callApi<V1PodList>(kubeConfig, call)) as V1PodList;
}

/** Lists the pods of a node that are marked as limited, once. @throws if the API server does not answer */
export async function listPods(kubeConfig: KubeConfig, nodeName: string): Promise<readonly V1Pod[]> {
  return (await list(kubeConfig, selectors(nodeName))).items;
}

/** Lists all pods of a node, marked or not, as the API server remembers them. @throws if it does not answer */
export async function listAllPods(kubeConfig: KubeConfig, nodeName: string): Promise<readonly V1Pod[]> {
  const { fieldSelector } = selectors(nodeName);
  return (await list(kubeConfig, { fieldSelector, ...anyVersion })).items;
}

/**
 * Starts to list and watch the pods of a node that the webhook marked as limited. After a failure it lists again; what
 * is known stays meanwhile.
 */
export function watchPods(options: PodsOptions) {
  const { kubeConfig, nodeName, onChange, onError, clock, backOffMs = { first: 500, longest: 30_000 } } = options;
  const end = new AbortController();
  const { signal } = end;
  let known: Map<string, V1Pod> | undefined;
  let failures = 0;

  /** Watches from a version on. @returns the version to go on from; undefined if the API server has forgotten it */
  const watch = (from: string, pods: Map<string, V1Pod>): Promise<string | undefined> => {
    const onEvent = ({ type, object }: ObjectEvent<V1Pod>) => {
      if (type === 'BOOKMARK') return;
      const uid = object.metadata?.uid ?? '';
      if (type === 'DELETED') pods.delete(uid);
      else pods.set(uid, object);
      if (!signal.aborted) onChange();
    };
    const timeoutSeconds = Math.round(watchSeconds * (1 + clock.random()));
    return watchFrom({ kubeConfig, path, query: selectors(nodeName), timeoutSeconds, onEvent, signal }, from);
  };
  const wait = (ms: number) =>
    new Promise<void>((resolve) => {
      const cancel = clock.after(ms, resolve);
      signal.addEventListener('abort', () => {
        cancel();
        resolve();
      });
    });
  const run = async () => {
    while (!signal.aborted) {
      try {
        const version = known === undefined && failures === 0 ? anyVersion : {};
        const { items, metadata } = await list(kubeConfig, { ...selectors(nodeName), ...version });
        if (signal.aborted) return;
        const pods = new Map(items.map((pod) => [pod.metadata?.uid ?? '', pod]));
        known = pods;
        failures = 0;
        onChange();
        let from = metadata?.resourceVersion;
        while (!signal.aborted && from !== undefined) {
          from = await watch(from, pods);
          // Something between here and the API server may end each watch at once.
          await wait(reopenMs);
        }
      } catch (error) {
        if (signal.aborted) return;
        const retryMs = Math.round(backOff(backOffMs, failures, clock.random()));
        failures += 1;
        onError(toError(error), retryMs);
        await wait(retryMs);
      }
    }
  };
  void run();

  return {
    /** Returns the pods as last heard of; while the API server is away, as they were. */
    list: (): readonly V1Pod[] => [...(known?.values() ?? [])],
    /** Reports whether a list has ever been complete: before that, nothing is known about what should be. */
    synced: () => known !== undefined,
    stop: () => end.abort(),
  };
}
