/** The API server's view of this node's pods: the list, the watch, and the patch of a condition. */
import {
  ApiException,
  CoreV1Api,
  type KubeConfig,
  ListWatch,
  PatchStrategy,
  setHeaderOptions,
  type V1Pod,
  type Watch,
} from '@kubernetes/client-node';
import { watchObjects } from '../../kube/watch.ts';
import { limitedCondition, shapedLabel, shapedValue } from '../../rate/keys.ts';
import { type BackOff, backOffWithJitter } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';
import type { LimitedCondition } from './limited-condition.ts';

/** The pods of a node that the webhook marked as limited. */
export interface Pods {
  /** The pods as last heard of; while the API server is away, as they were. */
  list(): readonly V1Pod[];
  /** Whether a list has ever been complete: before that, nothing is known about what should be. */
  synced(): boolean;
  stop(): void;
}

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

interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

/** What this node's pods are selected by, on the server. */
function selectors(nodeName: string) {
  return { fieldSelector: `spec.nodeName=${nodeName}`, labelSelector: `${shapedLabel}=${shapedValue}` };
}

/** Lists the pods of a node that are marked as limited, once. @throws if the API server does not answer */
export async function listPods(kubeConfig: KubeConfig, nodeName: string, clock: Clock): Promise<readonly V1Pod[]> {
  const list = kubeConfig.makeApiClient(CoreV1Api).listPodForAllNamespaces(selectors(nodeName));
  return (await withTimeout(list, answerTimeoutMs, clock)).items;
}

/**
 * Lists the pods of a node that have some uids, whether or not they are marked as limited.
 * @throws if the API server does not answer
 */
export async function findPods(
  kubeConfig: KubeConfig,
  nodeName: string,
  uids: ReadonlySet<string>,
  clock: Clock,
): Promise<readonly V1Pod[]> {
  const { fieldSelector } = selectors(nodeName);
  const list = kubeConfig.makeApiClient(CoreV1Api).listPodForAllNamespaces({ fieldSelector, resourceVersion: '0' });
  return (await withTimeout(list, answerTimeoutMs, clock)).items.filter(({ metadata }) =>
    uids.has(metadata?.uid ?? ''),
  );
}

/**
 * Starts to list and watch. client-node's ListWatch ends for good on any failure but 410, and its stop() looks like one; so each
 * try has a ListWatch of its own, and only the latest one is listened to.
 */
export function watchPods(options: PodsOptions): Pods {
  const { kubeConfig, nodeName, onChange, onError, clock } = options;
  const backOffMs = options.backOffMs ?? { first: 500, longest: 30_000 };
  const api = kubeConfig.makeApiClient(CoreV1Api);
  const { fieldSelector, labelSelector } = selectors(nodeName);
  let failures = 0;
  let latest: ListWatch<V1Pod> | undefined;
  let known: ListWatch<V1Pod> | undefined;
  let cancel = () => {};

  const start = () => {
    const watcher = {
      // ListWatch opens the watch once the list is in its cache; that is the only sign of it.
      watch: async (...[path, query, onEvent, onDone]: Parameters<Watch['watch']>) => {
        if (latest === attempt) {
          known = attempt;
          failures = 0;
          onChange();
        }
        const end = new AbortController();
        void watchObjects<WatchEvent>({
          ...{ kubeConfig, path, query, signal: end.signal },
          timeoutSeconds: Math.round(watchSeconds * (1 + clock.random())),
          onEvent: (event) => onEvent(event.type, event.object, event),
        }).then(() => onDone(null), onDone);
        return end;
      },
    } as Pick<Watch, 'watch'> as Watch;
    // The API server answers the first one out of its memory; without a version old ones (1.30) read all pods from etcd.
    const version = failures === 0 && known === undefined ? { resourceVersion: '0' } : {};
    const list = () =>
      withTimeout(api.listPodForAllNamespaces({ fieldSelector, labelSelector, ...version }), answerTimeoutMs, clock);
    const attempt: ListWatch<V1Pod> = new ListWatch<V1Pod>(path, watcher, list, false, labelSelector, fieldSelector);
    latest = attempt;
    attempt.on('change', () => {
      if (latest === attempt && known === attempt) onChange();
    });
    const fail = (error: unknown) => {
      if (latest !== attempt) return;
      latest = undefined;
      // Ends the connection; the failure that this causes is no longer listened to.
      void attempt.stop();
      const retryMs = Math.round(backOffWithJitter(backOffMs, failures, clock.random()));
      failures += 1;
      onError(error instanceof Error ? error : new Error(String(error)), retryMs);
      cancel = clock.after(retryMs, start);
    };
    attempt.on('error', fail);
    attempt.start().catch(fail);
  };
  start();

  return {
    list: () => known?.list() ?? [],
    synced: () => known !== undefined,
    stop() {
      const last = latest;
      latest = undefined;
      cancel();
      void last?.stop();
    },
  };
}

/** What became of the patch of a condition. */
export type PatchOutcome = 'done' | 'gone';

/** Writes the condition `podrate.dev/Limited` of a pod. */
export type PatchCondition = (
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
  condition: LimitedCondition & { readonly lastTransitionTime: string },
) => Promise<PatchOutcome>;

/**
 * Builds the patch: a strategic merge of one condition by its type, with the pod's uid as a precondition, so that a pod that was
 * created anew under the same name is not told what was found about its predecessor.
 */
export function conditionPatch(kubeConfig: KubeConfig, clock: Clock): PatchCondition {
  const api = kubeConfig.makeApiClient(CoreV1Api);
  const options = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);
  return async ({ namespace, name, uid }, condition) => {
    const body = { metadata: { uid }, status: { conditions: [{ type: limitedCondition, ...condition }] } };
    try {
      await withTimeout(api.patchNamespacedPodStatus({ namespace, name, body }, options), answerTimeoutMs, clock);
      return 'done';
    } catch (error) {
      if (error instanceof ApiException && (error.code === 404 || error.code === 409)) return 'gone';
      throw error;
    }
  };
}

async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, clock: Clock): Promise<T> {
  let cancel = () => {};
  const timeout = new Promise<never>((_, reject) => {
    cancel = clock.after(timeoutMs, () => reject(new Error(`the API server did not answer within ${timeoutMs} ms`)));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    cancel();
  }
}
