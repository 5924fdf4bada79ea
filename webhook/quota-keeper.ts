import type { Direction, Limit } from '../rate/limit.ts';
import type { Total } from '../rate/policy.ts';

/** An admission of a pod in a namespace with a quota, as validating admission sees it: final, with uid and name. */
export interface QuotaRequest {
  readonly namespace: string;
  /** The namespace's quota in bytes per second. */
  readonly hard: Total;
  readonly pod: { readonly uid: string; readonly name: string };
  /** The pod's limit, as stamped. */
  readonly wanted: Limit;
  readonly dryRun: boolean;
  readonly operation: 'create' | 'update';
  /** For an update: the version of the pod that it replaces, and the limit of that. */
  readonly before?: Limit & { readonly resourceVersion: string };
}

/** Whether a pod fits; numbers in bytes per second. */
export type QuotaAnswer =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      readonly direction: Direction;
      readonly requested: number;
      readonly used: number;
      readonly hard: number;
    };

/** Decides whether pods fit into their namespace's quota. */
export interface QuotaKeeper {
  /** Decides about one admission, and counts it unless it is a dry run. @throws where nothing can be decided */
  check(request: QuotaRequest): Promise<QuotaAnswer>;
}
