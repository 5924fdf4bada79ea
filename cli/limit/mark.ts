/** Marks what a cgroup sends with a code point (DSCP), in the network namespaces that its processes are in. */

import type { Cgroup } from '../../nodeagent/cgroup/tree.ts';
import { dscpOf, handleOf } from '../../nodeagent/dscp/plan.ts';
import { mountedNamespaces, type NetworkNamespace, namespacesOfMachine } from '../../nodeagent/net/namespaces.ts';
import type { Node } from '../../nodeagent/open-node.ts';
import { type Dscp, DscpError, parseDscp } from '../../rate/dscp.ts';
import { networkNamespaces } from '../cgroup/namespaces.ts';
import { CommandError } from '../errors.ts';
import type { Change } from './change.ts';

/** The option of a mark, as the user wrote it. */
export interface MarkOptions {
  readonly dscp?: string | undefined;
}

/** Reads the code point that the options ask for; none where they say `none` or nothing. @throws CommandError */
export function readDscp({ dscp }: MarkOptions): Dscp | undefined {
  if (dscp === undefined) return undefined;
  try {
    return parseDscp(dscp);
  } catch (error) {
    if (error instanceof DscpError) throw new CommandError('cli/usage', `--dscp ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The namespaces in which a cgroup is to be marked.
 * @throws CommandError if no process of the cgroup tells one
 */
export async function namespacesToMark(cgroup: Cgroup): Promise<NetworkNamespace[]> {
  const namespaces = await networkNamespaces(cgroup.path);
  if (namespaces.length > 0) return namespaces;
  const advice = 'start its processes first, or use podrate run';
  throw new CommandError(
    'cli/no-namespace',
    `--dscp: no process is in ${cgroup.path}, to tell its network namespace: ${advice}`,
  );
}

/**
 * Marks what a cgroup sends in some namespaces.
 * @param dscp undefined to take the mark off
 * @returns the code point before
 * @throws CommandError
 */
export async function markCgroup(
  { marker }: Node,
  { id: cgroupId }: Cgroup,
  dscp: Dscp | undefined,
  namespaces: readonly NetworkNamespace[],
): Promise<number | undefined> {
  let before: number | undefined;
  try {
    for (const { file } of namespaces) {
      const look = marker.look(file);
      if (look === undefined) continue;
      const mark = look.marks.find(({ handle }) => handle === handleOf(cgroupId));
      before ??= mark && dscpOf(mark);
      marker.apply(file, look, { cgroupId, dscp });
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandError('cli/failed', `packets cannot be marked: ${message}`, { cause: error });
  }
  return before;
}

/**
 * Adds to a change of a limit that of the mark: in the namespaces given, and in no others.
 * @throws CommandError
 */
export async function withMark(
  node: Node,
  change: Change,
  dscp: Dscp | undefined,
  namespaces: readonly NetworkNamespace[],
): Promise<Change> {
  const { cgroup } = change;
  const own = new Set(namespaces.map(({ id }) => id));
  // Where nothing is marked yet, there is nothing to be taken off.
  const others = node.marker.isUsed() ? (await allNamespaces()).filter(({ id }) => !own.has(id)) : [];
  const elsewhere = await markCgroup(node, cgroup, undefined, others);
  const before = (await markCgroup(node, cgroup, dscp, namespaces)) ?? elsewhere;
  return { ...change, mark: { before, after: dscp } };
}

/** Takes off the mark that a limit replaces; where that cannot be done, the limit is in force all the same, and a warning says so. */
export async function withoutMark(node: Node, change: Change): Promise<Change> {
  try {
    return await withMark(node, change, undefined, []);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { ...change, warnings: [...change.warnings, `A mark that it may have stays: ${error.message}`] };
  }
}

/**
 * The code points of cgroups, as far as their processes tell where to look.
 * @param handle tells which filter is about a cgroup
 */
export async function marksOf<T extends { readonly cgroup: string | null }>(
  { marker }: Node,
  places: readonly T[],
  handle: (place: T) => Promise<number> | number,
): Promise<Map<T, number>> {
  const found = new Map<T, number>();
  if (places.length === 0 || !marker.isUsed()) return found;
  const looks = new Map<bigint, ReturnType<typeof marker.look>>();
  for (const place of places) {
    for (const { file, id } of place.cgroup === null ? [] : await networkNamespaces(place.cgroup)) {
      const look = looks.get(id) ?? marker.look(file);
      looks.set(id, look);
      const wanted = await handle(place);
      const mark = look?.marks.find((one) => one.handle === wanted);
      if (mark !== undefined) found.set(place, dscpOf(mark));
    }
  }
  return found;
}

/** The code point of one cgroup. */
export async function markOf(node: Node, { id, path }: Cgroup): Promise<number | undefined> {
  const place = { cgroup: path };
  return (await marksOf(node, [place], () => handleOf(id))).get(place);
}

/** All namespaces of the machine: a mark outlives the processes that it was made for. */
export async function allNamespaces(): Promise<NetworkNamespace[]> {
  const all = [...(await namespacesOfMachine()), ...(await mountedNamespaces('/run/netns'))];
  return [...new Map(all.map((namespace) => [namespace.id, namespace])).values()];
}
