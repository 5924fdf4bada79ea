import type { Direction } from '../rate/limit.ts';
import type { PeerName } from './peers/all.ts';

interface Common {
  /** Unique; words that --only can pick by. */
  readonly name: string;
  /** Bytes per second. */
  readonly rate: number;
  /** The direction that is limited. */
  readonly direction: Direction;
  /** Who is compared. */
  readonly peers: readonly PeerName[];
  /** Who is compared by --quick; none when absent. */
  readonly quick?: readonly PeerName[];
}

/** Long TCP flows from a to b, and what happens to them. Lengths in seconds, from the start of the flows. */
export interface TrafficScenario extends Common {
  readonly kind: 'traffic';
  readonly flows: number;
  readonly congestion: 'cubic' | 'bbr';
  readonly family: 'ipv4' | 'ipv6';
  readonly seconds: { readonly quick: number; readonly full: number };
  /** Where the sender is: on the same node, or 20 ms away. */
  readonly sender: 'near' | 'far';
  /** Datagrams of `size` payload bytes beside the flows, at `times` the limit. */
  readonly flood?: { readonly size: number; readonly times: number };
  /** The flows pause: on and off, in seconds. */
  readonly pauses?: { readonly on: number; readonly off: number };
  /** The limit changes under traffic. */
  readonly changes?: readonly { readonly at: number; readonly rate: number }[];
  /** The limit is put on so late. */
  readonly attachAt?: number;
}

/** Requests and answers over TCP, of many connections. */
export interface RequestLoad {
  /**
   * `short`: its figures are the scenario's. `idle`: connections that carry nothing. `probe`: a health check, whose failures are counted
   * apart.
   */
  readonly role: 'short' | 'idle' | 'probe';
  /** Which side opens the connections. */
  readonly client: 'limited' | 'peer';
  /** Bytes of a request. */
  readonly up: number;
  /** Bytes of an answer; a range is log-uniform. */
  readonly down: number | readonly [least: number, most: number];
  /** Connections at a time, at most. */
  readonly connections: number;
  /** Requests that begin each second, whatever becomes of them; absent: as soon as a connection is free. */
  readonly perSecond?: number;
  /** Whether connections stay open for further requests. */
  readonly keep?: boolean;
  /** When a request has failed; default 10,000. */
  readonly timeoutMs?: number;
}

/** A packet flood, at `times` the limit. */
export interface PacketFlood {
  readonly kind: 'syn' | 'ack' | 'udp';
  readonly times: number;
}

/** Several kinds of traffic at the same time, in the direction that is limited. */
export interface MixtureScenario extends Common {
  readonly kind: 'mixture';
  readonly congestion: 'cubic' | 'bbr';
  /** Where the limited pod's peers are: on its own bridge, or 20 ms away. */
  readonly path: 'near' | 'far';
  /** Long TCP flows. */
  readonly flows: number;
  readonly requests: readonly RequestLoad[];
  /** UDP with segmentation offload that reacts to loss. */
  readonly offload?: boolean;
  readonly flood?: PacketFlood;
  /** One TCP sender at this many times the limit, whatever it loses. */
  readonly liar?: number;
  readonly seconds: { readonly quick: number; readonly full: number };
}

/** Pods that only exist: what their limits cost. */
export interface ManyScenario extends Common {
  readonly kind: 'many';
  readonly pods: number;
}

/** One line of the benchmark. */
export type Scenario = TrafficScenario | MixtureScenario | ManyScenario;
