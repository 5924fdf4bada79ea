import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { type KeepTryingOptions, keepTrying } from './keep-trying.ts';
import { listPodMetadata, type PodSelection, type WatchOptions, watchPodMetadata } from './pod-metadata.ts';

/** Who is told of pods. */
export interface PodFollower {
  /** A list begins. @returns who is told of its pods, and of its resource version once it is complete */
  list(): { readonly onPod: (metadata: V1ObjectMeta) => void; readonly onEnd: (version: string) => void };
  /** Something happened after the list. */
  readonly onEvent: WatchOptions['onEvent'];
  /** Tells whether it let go of something that only another list can tell; if absent, it never does. */
  mustList?(): boolean;
}

/** What is listed and watched. */
export interface FollowPodsOptions extends KeepTryingOptions {
  readonly kubeConfig: KubeConfig;
  readonly selection: PodSelection;
  /** What the pods are called in an error. */
  readonly what: string;
  readonly follower: PodFollower;
  /** How long to watch before the follower is asked whether everything is to be listed again, in ms. */
  readonly relistMs: number;
}

// Of one page of a large list on a busy API server.
const listTimeoutMs = 10_000;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;

/**
 * Tells a follower of all pods of a selection and of every change of them, until the signal is aborted. A watch ends every few
 * minutes, and goes on where it was as long as the API server remembers that; else, after a failure, and where the follower needs it
 * everything is listed again. Not without need: an API server reads all pods of the cluster for it, whatever is selected.
 */
export async function followPods(options: FollowPodsOptions): Promise<void> {
  const { kubeConfig, selection, what, follower, clock, relistMs, signal } = options;
  await keepTrying(options, async (worked) => {
    const { onPod, onEnd } = follower.list();
    const version = await listPodMetadata({ kubeConfig, selection, what, timeoutMs: listTimeoutMs, onPod });
    onEnd(version);
    let from: string | undefined = version;
    let until = clock.nowMs() + relistMs;
    while (!signal.aborted && from !== undefined) {
      if (clock.nowMs() >= until) {
        if (follower.mustList?.()) return;
        until = clock.nowMs() + relistMs;
      }
      const timeoutSeconds = Math.max(1, Math.ceil((until - clock.nowMs()) / 1_000));
      const { onEvent } = follower;
      from = await watchPodMetadata({ kubeConfig, selection, what, from, timeoutSeconds, onEvent, signal });
      worked();
      await clock.sleep(reopenMs, signal);
    }
  });
}
