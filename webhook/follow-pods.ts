import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import type { Demand } from './demand.ts';
import { type KeepTryingOptions, keepTrying } from './keep-trying.ts';
import { listPodMetadata, type PodSelection, type WatchOptions, watchPodMetadata } from './pod-metadata.ts';

/** Who is told of pods. */
export interface PodFollower {
  /** A list begins. @returns who is told of its pods, and of its resource version once it is complete */
  list(): { readonly onPod: (metadata: V1ObjectMeta) => void; readonly onEnd: (version: string) => void };
  /** Something happened after the list. */
  readonly onEvent: WatchOptions['onEvent'];
  /** From now on it is told of what happens some seconds later, or at once again from where it was. */
  onRest?(isResting: boolean): void;
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
  /** Whether the follower has to be told at once; if absent, it always has. */
  readonly demand?: Demand;
}

// Of one page of a large list on a busy API server.
const listTimeoutMs = 10_000;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;
// A processor that has done something else takes longer to wake for an event than to look at twenty more.
const restMs = 10_000;
// An API server sends a bookmark two seconds before the end, after which there is nothing left to tell.
const gatherSeconds = 3;

/**
 * Tells a follower of all pods of a selection and of every change of them, until the signal is aborted. A watch ends every few
 * minutes, and goes on where it was as long as the API server remembers that; else, after a failure, and where the follower needs it
 * everything is listed again. Not without need: an API server reads all pods of the cluster for it, whatever is selected.
 *
 * While nothing is urgent, the watch is open for a second or two of every ten or so, and tells what happened since then at once: each event
 * of an open one wakes the process, which costs ten times as much.
 */
export async function followPods(options: FollowPodsOptions): Promise<void> {
  const { kubeConfig, selection, what, follower, clock, relistMs, demand, signal } = options;
  const pods = { kubeConfig, selection, what };
  const { onEvent } = follower;
  await keepTrying(options, async (worked) => {
    const { onPod, onEnd } = follower.list();
    const version = await listPodMetadata({ ...pods, timeoutMs: listTimeoutMs, onPod });
    onEnd(version);
    let from: string | undefined = version;
    let until = clock.nowMs() + relistMs;
    while (!signal.aborted && from !== undefined) {
      if (clock.nowMs() >= until) {
        if (follower.mustList?.()) return;
        until = clock.nowMs() + relistMs;
      }
      const isUrgent = demand?.isThere() ?? true;
      const turn = demand === undefined ? signal : AbortSignal.any([signal, demand.changed()]);
      follower.onRest?.(!isUrgent);
      if (isUrgent) {
        const timeoutSeconds = Math.max(1, Math.ceil((until - clock.nowMs()) / 1_000));
        from = await watchPodMetadata({ ...pods, from, timeoutSeconds, onEvent, signal: turn });
      } else {
        from = await gather({ ...pods, from, onEvent, signal: turn });
      }
      worked();
      await clock.sleep(isUrgent ? reopenMs : restMs, turn);
    }
  });
}

/** Watches until everything is told that has happened. @returns as watchPodMetadata does */
function gather(options: Omit<WatchOptions, 'timeoutSeconds'>): ReturnType<typeof watchPodMetadata> {
  const all = new AbortController();
  return watchPodMetadata({
    ...options,
    timeoutSeconds: gatherSeconds,
    onEvent(type, metadata) {
      options.onEvent(type, metadata);
      if (type === 'reach') all.abort();
    },
    signal: AbortSignal.any([options.signal, all.signal]),
  });
}
