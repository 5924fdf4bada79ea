/** Keeps the marks in the pods' network namespaces as the pods ask for them. */

import type { Log } from '../base/log.ts';
import { mountedNamespaces, type NetworkNamespace } from '../net/namespaces.ts';
import { NamespaceGoneError } from '../net/netlink.ts';
import type { ShapedPod } from '../pods/desired.ts';
import type { Marker } from './marker.ts';
import { isOf, markedPods, podOf, type WantedMark, wantedMark } from './match.ts';
import { dscpOf, wholeNamespace } from './plan.ts';

/** What is known about a pod's mark. */
export interface MarkState {
  /** The code point that this is about. */
  readonly dscp: number;
  /** Why its packets are not marked; undefined if they are. */
  readonly problem: string | undefined;
}

/** What markings are built from. */
export interface MarkingsOptions {
  readonly marker: Marker;
  /** Directory with the network namespaces of the node. */
  readonly netnsDirectory: string;
  readonly log: Log;
}

/** Keeps the marks of a node's pods. */
export interface Markings {
  /**
   * Makes the marks those that pods ask for, and no others. Never fails: `of` says why a pod is not marked.
   * @param full whether to look at all devices again, also where everything was as it should be
   * @returns whether nothing failed
   */
  settle(pods: readonly ShapedPod[], full: boolean): Promise<boolean>;
  /** What is known about a pod; undefined while its namespace has yet to be looked for. */
  of(pod: ShapedPod): MarkState | undefined;
}

/** A namespace as it was last left. */
interface Seen {
  readonly addresses: readonly string[];
  readonly dscp: number | undefined;
}

/** Builds it. A node that marks nothing costs one question to the kernel at the start. */
export function createMarkings({ marker, netnsDirectory, log }: MarkingsOptions): Markings {
  let seen = new Map<string, Seen>();
  let states = new Map<string, MarkState>();
  // Whether there may be marks that no pod asks for: after a restart only the kernel knows.
  let mayBeLeft: boolean | undefined;
  let told = '';

  const tend = (namespace: NetworkNamespace, pods: readonly ShapedPod[], full: boolean, lost: boolean) => {
    const key = keyOf(namespace);
    const before = seen.get(key);
    const wanted = before && wantedMark(pods, before.addresses);
    const isKnown = before !== undefined && before.addresses.length > 0 && !lost;
    if (isKnown && !needsLook(before, wanted, full)) return;
    const look = marker.look(namespace.file);
    if (look === undefined) return;
    // Whoever may set up a pod's network may give it the address of another pod: the namespace that had it first
    // counts.
    const others = new Set([...seen].flatMap(([other, { addresses }]) => (other === key ? [] : addresses)));
    const addresses = look.devices.flatMap((device) => device.addresses).filter((address) => !others.has(address));
    const mark = wantedMark(pods, addresses);
    if (mark !== 'keep') marker.apply(namespace.file, look, mark);
    const [found] = look.marks.filter(({ handle }) => handle === wholeNamespace);
    seen.set(key, { addresses, dscp: mark === 'keep' ? found && dscpOf(found) : mark.dscp });
  };

  /** @returns what is wrong; empty if nothing is */
  const settle = async (pods: readonly ShapedPod[], full: boolean): Promise<string> => {
    mayBeLeft ??= marker.isUsed();
    if (pods.length === 0 && !mayBeLeft) {
      states = new Map();
      return '';
    }
    mayBeLeft = true;
    const namespaces = await mountedNamespaces(netnsDirectory);
    seen = new Map([...seen].filter(([key]) => namespaces.some((namespace) => keyOf(namespace) === key)));
    const problems = new Map<string, string>();
    // A pod that no namespace belongs to may have got its addresses after its namespace was looked at.
    const known = [...seen.values()];
    const isLost = (pod: ShapedPod) => !pod.network.isHost && !known.some(({ addresses }) => isOf(pod, addresses));
    const lost = full && pods.some((pod) => pod.running && isLost(pod));
    for (const namespace of namespaces) {
      try {
        tend(namespace, pods, full, lost);
      } catch (error) {
        // Its pod has just ended.
        if (error instanceof NamespaceGoneError) continue;
        const problem = error instanceof Error ? error.message : String(error);
        const pod = podOf(pods, seen.get(keyOf(namespace))?.addresses ?? []);
        problems.set(pod?.uid ?? '', problem);
        seen.delete(keyOf(namespace));
      }
    }
    states = new Map(pods.flatMap((pod) => stateOf(pod, [...seen.values()], problems, netnsDirectory)));
    mayBeLeft = problems.size > 0 || [...seen.values()].some(({ dscp }) => dscp !== undefined);
    return [...problems.values()].join('; ');
  };

  return {
    async settle(pods, full) {
      const problem = await settle(markedPods(pods), full).catch((error: Error) => error.message);
      if (problem !== '' && problem !== told) log.warn({ error: problem }, 'packets of pods cannot be marked');
      told = problem;
      return problem === '';
    },
    of: (pod) => states.get(pod.uid),
  };
}

/** Stands in for the markings where no namespace can be entered: says so of each pod that asks for a mark. */
export function createNoMarkings(): Markings {
  const problem = 'the agent cannot enter network namespaces: add the component manifests/namespaces';
  return {
    settle: async () => true,
    of: ({ limit }) => (limit instanceof Error || limit.dscp === undefined ? undefined : { dscp: limit.dscp, problem }),
  };
}

function keyOf({ file, id }: NetworkNamespace): string {
  return `${file} ${id}`;
}

// Devices come and go only where somebody has set more of them up; where nothing is marked, that is of no interest.
function needsLook(before: Seen, wanted: WantedMark | undefined, full: boolean): boolean {
  if (wanted === undefined || wanted === 'keep') return false;
  return wanted.dscp !== before.dscp || (full && wanted.dscp !== undefined);
}

function stateOf(
  pod: ShapedPod,
  seen: readonly Seen[],
  problems: ReadonlyMap<string, string>,
  directory: string,
): [string, MarkState][] {
  const { uid, limit, running, network } = pod;
  if (limit instanceof Error || limit.dscp === undefined) return [];
  const { dscp } = limit;
  const state = (problem: string | undefined): [string, MarkState][] => [[uid, { dscp, problem }]];
  if (network.isHost) return state('with hostNetwork it has no network namespace of its own');
  const own = seen.find(({ addresses }) => isOf(pod, addresses));
  if (own?.dscp === dscp) return state(undefined);
  // A problem of a namespace whose addresses are not known may be this pod's.
  const problem = problems.get(uid) ?? problems.get('');
  if (problem !== undefined) return state(problem);
  // Its containers may run a moment before its status says which addresses it has.
  if (!running || network.addresses.length === 0) return [];
  return state(`no network namespace in ${directory} has the address ${network.addresses.join(' or ')}`);
}
