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
  /** Where the sender is and whether it follows a podrate receiver's wish: `ours` does. */
  readonly sender: 'ours' | 'near stranger' | 'far stranger';
  /** Datagrams of `size` payload bytes beside the flows, at `times` the limit. */
  readonly flood?: { readonly size: number; readonly times: number };
  /** The flows pause: on and off, in seconds. */
  readonly pauses?: { readonly on: number; readonly off: number };
  /** The limit changes under traffic. */
  readonly changes?: readonly { readonly at: number; readonly rate: number }[];
  /** The limit is put on so late. */
  readonly attachAt?: number;
}

/** Clients that open a connection for each request, without end. */
export interface ShortScenario extends Common {
  readonly kind: 'short';
  readonly clients: number;
  /** Bytes from client to server, and back. */
  readonly up: number;
  readonly down: number;
  /** Which side the limited pod is. */
  readonly limited: 'client' | 'server';
  readonly seconds: { readonly quick: number; readonly full: number };
}

/** Pods that only exist: what their limits cost. */
export interface ManyScenario extends Common {
  readonly kind: 'many';
  readonly pods: number;
}

/** One line of the benchmark. */
export type Scenario = TrafficScenario | ShortScenario | ManyScenario;
