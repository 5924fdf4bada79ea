import type { Mode } from '../../rate/policy.ts';
import type { Operation } from './patch.ts';

/** What is wrong with an object. */
export interface Fault {
  /** The HTTP status for the user. */
  readonly status: number;
  /** The reason, for programs. */
  readonly code: string;
  readonly message: string;
}

/** The answer about an object. */
export type Decision =
  | {
      readonly outcome: 'leave';
      readonly warnings: readonly string[];
      /** What mode enforce would have refused. */
      readonly fault?: Fault & { readonly mode: Mode };
    }
  | { readonly outcome: 'patch'; readonly operations: readonly Operation[]; readonly warnings: readonly string[] }
  | (Fault & { readonly outcome: 'deny' });

/** The decision about an object with nothing wrong. */
export const good: Decision = { outcome: 'leave', warnings: [] };

/** Returns the decision about an object with a fault, by the mode of the namespace. */
export function admit(fault: Fault, mode: Mode): Decision {
  if (mode === 'enforce') return { outcome: 'deny', ...fault };
  return { outcome: 'leave', warnings: mode === 'warn' ? [fault.message] : [], fault: { ...fault, mode } };
}

/** Joins the faults of an object into one; undefined if there is none. */
export function joinFaults(faults: readonly { readonly code: string; readonly message: string }[]): Fault | undefined {
  const [first] = faults;
  return first && { status: 403, code: first.code, message: faults.map(({ message }) => message).join(', ') };
}
