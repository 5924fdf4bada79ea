/** Keeps the marks in the pods' network namespaces as the pods ask for them. */

import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { mountedNamespaces } from '../net/namespaces.ts';
import type { ShapedPod } from '../pods/desired.ts';
import type { Marker, NamespaceLook } from './marker.ts';

/** What is known about a pod's mark. */
export interface MarkState {
  /** The code point that this is about. */
  readonly dscp: number;
  /** Why its packets are not marked; undefined if they are. */
  readonly problem: string | undefined;
}

/** What markings are built from. */
export interface MarkingsOptions {
  /** Undefined where no network namespace can be entered. */
  readonly marker: Marker | undefined;
  /** Directory with the network namespaces of the node. */
  readonly netnsDirectory: string;
  readonly log: Log;
}

const cannotEnter = 'the agent cannot enter network namespaces: add the component manifests/namespaces';
const ambiguous = 'two network namespaces have its address: find out which pod has taken it';
const sharedNetwork = 'with hostNetwork it has no network namespace of its own';

/** Builds what keeps the marks of a node's pods. A node that marks nothing costs one question to the kernel at the start. */
export function createMarkings({ marker, netnsDirectory, log }: MarkingsOptions) {
  let states = new Map<string, MarkState>();
  let settled: string | undefined;
  // Whether there may be marks that no pod asks for: after a restart only the kernel knows.
  let mayBeLeft: boolean | undefined;
  let reported = '';

  /** @returns what is wrong with namespaces, by the uids of their pods; under '' where the pod is not known */
  const mark = async (pods: readonly ShapedPod[], by: Marker): Promise<Map<string, string>> => {
    const problems = new Map<string, string>();
    const looks: [file: string, look: NamespaceLook][] = [];
    for (const { file } of await mountedNamespaces(netnsDirectory)) {
      try {
        const look = by.look(file);
        if (look !== undefined) looks.push([file, look]);
      } catch (error) {
        problems.set('', toError(error).message);
      }
    }
    const found = looks.map(([, look]) =>
      podOf(
        pods,
        look.devices.flatMap(({ addresses }) => addresses),
      ),
    );
    const marked = new Set<string>();
    for (const [index, [file, look]] of looks.entries()) {
      const pod = found[index];
      // It cannot be told what the pod asks for: its marks stay.
      if (pod?.limit instanceof Error) continue;
      // Whoever may set up a pod's network may give it another pod's address: what is marked stays so.
      if (pod !== undefined && found.indexOf(pod) !== found.lastIndexOf(pod)) {
        problems.set(pod.uid, ambiguous);
        continue;
      }
      try {
        by.apply(file, look, { dscp: pod?.limit.dscp });
        if (pod !== undefined) marked.add(pod.uid);
      } catch (error) {
        problems.set(pod?.uid ?? '', toError(error).message);
      }
    }
    states = new Map(pods.flatMap((pod) => stateOf(pod, marked, problems, netnsDirectory)));
    return problems;
  };

  return {
    /**
     * Makes the marks those that pods ask for, and no others. Never fails: `of` says why a pod is not marked.
     * @param full whether to look at all namespaces again, also where nothing else is asked for than the last time
     * @returns whether nothing failed
     */
    async settle(all: readonly ShapedPod[], full: boolean): Promise<boolean> {
      const pods = all.filter(({ limit }) => limit instanceof Error || limit.dscp !== undefined);
      if (marker === undefined) return true;
      mayBeLeft ??= marker.isUsed();
      if (pods.length === 0 && !mayBeLeft) return true;
      const asked = JSON.stringify(pods.map(({ condition, ...pod }) => pod));
      if (!full && asked === settled) return true;
      const problems = await mark(pods, marker);
      const problem = [...problems.values()].join('; ');
      if (problem !== '' && problem !== reported) log.warn({ error: problem }, 'packets of pods cannot be marked');
      reported = problem;
      settled = problem === '' ? asked : undefined;
      mayBeLeft = problem !== '' || pods.length > 0;
      return problem === '';
    },

    /** Returns what is known about a pod; undefined while its namespace has yet to be looked for. */
    of({ uid, limit }: ShapedPod): MarkState | undefined {
      if (marker !== undefined) return states.get(uid);
      return limit instanceof Error || limit.dscp === undefined
        ? undefined
        : { dscp: limit.dscp, problem: cannotEnter };
    },
  };
}

/** The pod of a namespace with these addresses. Pods on the node's own network have the node's, and no namespace. */
function podOf(pods: readonly ShapedPod[], addresses: readonly string[]): ShapedPod | undefined {
  const own = pods.filter(({ network }) => !network.isHost && network.addresses.some((one) => addresses.includes(one)));
  // The address of a pod that ends is given to another one before the API server forgets the first.
  return own.find(({ terminating }) => !terminating) ?? own[0];
}

function stateOf(
  { uid, limit, running, network }: ShapedPod,
  marked: ReadonlySet<string>,
  problems: ReadonlyMap<string, string>,
  directory: string,
): [string, MarkState][] {
  if (limit instanceof Error || limit.dscp === undefined) return [];
  const { dscp } = limit;
  const state = (problem: string | undefined): [string, MarkState][] => [[uid, { dscp, problem }]];
  if (network.isHost) return state(sharedNetwork);
  if (marked.has(uid)) return state(undefined);
  // A problem of a namespace whose addresses are not known may be this pod's.
  const problem = problems.get(uid) ?? problems.get('');
  if (problem !== undefined) return state(problem);
  // Its containers may run a moment before its status says which addresses it has.
  if (!running || network.addresses.length === 0) return [];
  return state(`no network namespace in ${directory} has the address ${network.addresses.join(' or ')}`);
}
