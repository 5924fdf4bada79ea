/** What `podrate list` tells. */
import type { Counters } from '../../nodeagent/shaper/layout.ts';

/** A limited cgroup. */
export interface Limited {
  /** `pod/<uid>` or `manual/<cgroup id>`. */
  readonly owner: string;
  /** Directory of the cgroup; null if it is gone and its slot is about to be given back. */
  readonly cgroup: string | null;
  readonly slot: number;
  /** False while it is being attached or detached. */
  readonly inForce: boolean;
  /** Bytes per second; null without limit. */
  readonly egressBytesPerSecond: number | null;
  readonly ingressBytesPerSecond: number | null;
  /** Whether what it receives goes through a queue; if not, a limit of it is policed. */
  readonly ingressQueue: boolean;
  readonly counters: Counters;
}

/** A limited or marked cgroup. */
export interface Listed extends Limited {
  /** The code point that its packets are marked with, as far as its processes tell where to look; null without mark. */
  readonly dscp: number | null;
}
