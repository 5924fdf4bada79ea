import type { Figures } from './definitions.ts';

/** The samples of one run of traffic. Times are CLOCK_MONOTONIC in microseconds, bytes are sums since the run began. */
export interface Recording {
  /** When the flows were started, and when the run was over. */
  readonly startUs: number;
  readonly endUs: number;
  /** Every 20 ms: IP bytes that came to b, `tcp` and `udp` from the sender, `all` from everybody. */
  readonly wire: readonly WireSample[];
  /** Every 20 ms: payload bytes read by the sink, of each connection. */
  readonly goodput: readonly GoodputSample[];
  /** Longest time between two reads of each connection, us. */
  readonly stalls: readonly number[];
  /** The sender's payload bytes, of those sent again, and connections that broke. */
  readonly source: { readonly sent: number; readonly resent: number; readonly broken: number };
  /** Requests of 100 bytes: asked when, answered after so many us. From the limited pod and from one beside it. */
  readonly pings: { readonly limited: readonly Ping[]; readonly other: readonly Ping[] };
  /** CPU time of the whole machine from one second after the start to the end, without the load programs' own part. */
  readonly cpuSeconds: number;
  /** Moments at which the limit was changed or put on, us, in their order. */
  readonly events: readonly number[];
  /** How long one call of each BPF program took. */
  readonly programs: Figures;
}
export interface WireSample {
  readonly us: number;
  readonly tcp: number;
  readonly udp: number;
  readonly all: number;
}
export interface GoodputSample {
  readonly us: number;
  readonly flows: readonly number[];
}
export interface Ping {
  readonly us: number;
  readonly answeredAfterUs: number;
}
