/** Picks podrate's queues out of what is on devices. */
import { type Filter, type Qdisc, root } from '../net/tc.ts';
import { filterPlace, type Leaf } from './htb.ts';

/** The root queueing discipline of a device. */
export interface RootQueue {
  readonly device: string;
  readonly kind: string;
  /** Such as `7064:`; `0:` is one that the kernel gave the device by itself. */
  readonly handle: string;
  /** The bfifos below it, by parent. */
  readonly leaves: ReadonlyMap<string, Leaf>;
}

/** The BPF filter of a queue. */
export type QueueFilter = Pick<Filter, 'classId' | 'programId'>;

/** Returns the root queueing disciplines by their devices. */
export function rootQueues(qdiscs: readonly Qdisc[]): Map<string, RootQueue> {
  const leaves = Map.groupBy(
    qdiscs.filter(({ kind }) => kind === 'bfifo'),
    ({ device }) => device,
  );
  const roots = qdiscs.filter(({ parent }) => parent === root);
  return new Map(
    roots.map(({ device, kind, handle }) => {
      const own = leaves.get(device) ?? [];
      return [device, { device, kind, handle, leaves: new Map(own.map((leaf) => [leaf.parent, leaf])) }];
    }),
  );
}

/** Returns podrate's filter. @returns undefined if it is not there */
export function queueFilter(filters: readonly Filter[]): QueueFilter | undefined {
  const isOurs = ({ preference, handle, programId }: Filter) =>
    preference === filterPlace.preference && handle === filterPlace.handle && programId !== 0;
  const ours = filters.find(isOurs);
  return ours && { programId: ours.programId, classId: ours.classId };
}
