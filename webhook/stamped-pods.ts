/** The pods with a stamp, of which the quota and the catch-up are told by one watch. */
import { shapedLabel, shapedValue } from '../rate/keys.ts';
import { type FollowPodsOptions, followPods, type PodFollower } from './follow-pods.ts';
import type { KeepTryingOptions } from './keep-trying.ts';
import { type PodSelection, unfinished } from './pod-metadata.ts';

/** Unfinished pods with the stamp's label. What finishes leaves the selection, which a watch tells as a deletion. */
export const stampedPods: PodSelection & { readonly what: string } = {
  labelSelector: `${shapedLabel}=${shapedValue}`,
  fieldSelector: unfinished,
  what: 'the pods with a stamp',
};

/** Who is told of the pods. */
export interface StampedPodsOptions
  extends Pick<FollowPodsOptions, 'kubeConfig' | 'relistMs' | 'demand' | keyof KeepTryingOptions> {
  readonly followers: readonly PodFollower[];
}

/** Tells followers of all namespaces' pods with a stamp and of every change of them, until the signal is aborted. */
export function followStampedPods(options: StampedPodsOptions): Promise<void> {
  const { what, ...selection } = stampedPods;
  return followPods({ ...options, selection, what, follower: together(options.followers) });
}

function together(followers: readonly PodFollower[]): PodFollower {
  return {
    list() {
      const lists = followers.map((each) => each.list());
      return {
        onPod(metadata) {
          for (const each of lists) each.onPod(metadata);
        },
        onEnd(version) {
          for (const each of lists) each.onEnd(version);
        },
      };
    },
    onEvent(type, metadata) {
      for (const each of followers) each.onEvent(type, metadata);
    },
    onRest(isResting) {
      for (const each of followers) each.onRest?.(isResting);
    },
    mustList: () => followers.some((each) => each.mustList?.()),
  };
}
