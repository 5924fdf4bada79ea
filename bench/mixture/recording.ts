import type { Figures } from '../figures/definitions.ts';
import type { GoodputSample, Ping } from '../figures/recording.ts';
import type { Point } from '../figures/series.ts';
import type { RequestLoad } from '../scenario.ts';

/** The samples of one run of a mixture. Times are CLOCK_MONOTONIC in microseconds; bytes are sums since an earlier moment. */
export interface MixtureRecording {
  /** When the load was started, and when the run was over. */
  readonly startUs: number;
  readonly endUs: number;
  /** IP bytes that came to the receiving pod, by the meter's numbers of services. */
  readonly services: readonly { readonly us: number; readonly bytes: readonly number[] }[];
  /** Payload bytes of each long flow, as its sink has read them. */
  readonly bulk: readonly GoodputSample[];
  /** Payload bytes of the datagrams that react to loss. */
  readonly datagrams: readonly Point[];
  readonly requests: readonly RequestRecording[];
  /** Requests of 100 bytes from a peer to the limited pod. */
  readonly pings: readonly Ping[];
  /** Counted one second after the start, and at the end. */
  readonly segments: readonly SegmentCount[];
  /** How long one call of each BPF program took. */
  readonly programs: Figures;
}

/** TCP segments of the senders in the limited direction. */
export interface SegmentCount {
  readonly us: number;
  readonly sent: number;
  readonly resent: number;
}

/** The outcome of one load of requests. */
export interface RequestRecording {
  readonly load: RequestLoad;
  /**
   * When each request was done and how long after it was due. `tookUs` is -1 for a failed request, `bytes` is 0 for one that
   * still waited at the end.
   */
  readonly done: readonly { readonly us: number; readonly tookUs: number; readonly bytes: number }[];
  /** Payload bytes that were received in the limited direction. */
  readonly received: readonly Point[];
}
