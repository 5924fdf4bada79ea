/** Reads what tc prints about queueing disciplines and their filters. */
import { filterHandle, filterPreference, type Leaf } from './htb.ts';

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
export interface QueueFilter {
  readonly classId: string;
  /** The kernel's number of the program. */
  readonly programId: number;
}

interface PrintedQdisc {
  readonly kind: string;
  readonly handle: string;
  readonly dev: string;
  readonly root?: boolean;
  readonly parent?: string;
  readonly options?: { readonly limit?: number };
}

interface PrintedFilter {
  readonly pref: number;
  readonly kind: string;
  readonly options?: {
    readonly handle?: string;
    readonly flowid?: string;
    readonly prog?: { readonly id?: number };
  };
}

/** Reads the output of `tc -json qdisc show`, by device. */
export function rootQueues(printed: unknown): Map<string, RootQueue> {
  const all = printed as readonly PrintedQdisc[];
  const roots = all.filter(({ root }) => root === true);
  return new Map(
    roots.map(({ dev: device, kind, handle }) => {
      const leaves = all.flatMap(({ dev, kind: leafKind, handle: own, parent, options }): [string, Leaf][] =>
        dev === device && leafKind === 'bfifo' && parent !== undefined
          ? [[parent, { parent, handle: own, limit: options?.limit ?? 0 }]]
          : [],
      );
      return [device, { device, kind, handle, leaves: new Map(leaves) }];
    }),
  );
}

/** Reads the output of `tc -json filter show` of one queue. @returns undefined if podrate's filter is not there */
export function queueFilter(printed: unknown): QueueFilter | undefined {
  const ours = (printed as readonly PrintedFilter[]).find(
    ({ pref, kind, options }) =>
      pref === filterPreference && kind === 'bpf' && Number(options?.handle) === filterHandle,
  );
  const programId = ours?.options?.prog?.id;
  return programId === undefined ? undefined : { programId, classId: ours?.options?.flowid ?? '' };
}
