import type { V1ObjectMeta } from '@kubernetes/client-node';
import type { PodFollower } from '../follow-pods.ts';
import { type SeenPod, seenPod } from './seen-pod.ts';

/** Who is told of the pods of a selection. */
export interface PodSink {
  /** A list begins. */
  begin(): void;
  /** A pod that is there, from the list or changed. */
  see(pod: SeenPod): void;
  /** A pod that was deleted, finished, or left the selection in this version. */
  remove(pod: SeenPod): void;
  /** The uids of a complete list. */
  retain(uids: ReadonlySet<string>): void;
  /** Tells whether something was let go of since the list began. */
  mustList(): boolean;
}

/** Passes the metadata of pods on to a sink; nothing is kept. */
export function toSink(sink: PodSink): PodFollower {
  return {
    list() {
      sink.begin();
      const uids = new Set<string>();
      const onPod = (metadata: V1ObjectMeta) => {
        uids.add(metadata.uid ?? '');
        sink.see(seenPod(metadata));
      };
      return { onPod, onEnd: () => sink.retain(uids) };
    },
    onEvent(type, metadata) {
      if (type === 'put') sink.see(seenPod(metadata));
      else if (type === 'remove') sink.remove(seenPod(metadata));
    },
    mustList: sink.mustList,
  };
}
