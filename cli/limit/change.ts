/** What attach, set and detach did to a cgroup. */
import { isDeepStrictEqual } from 'node:util';
import type { Cgroup } from '../../nodeagent/cgroup/tree.ts';
import { describe, describeMark } from '../../nodeagent/condition.ts';
import { manualOwner } from '../../nodeagent/pods/owner.ts';
import type { SlotConfig } from '../../nodeagent/shaper/layout.ts';
import type { Listed } from './listed.ts';

/** What is in force on a cgroup, and what was. */
export interface Change {
  readonly cgroup: Cgroup;
  /** Undefined where there was no limit. */
  readonly before: SlotConfig | undefined;
  /** Undefined where there is none now. */
  readonly after: SlotConfig | undefined;
  /** The code points before and after; absent where marks are no part of the change. */
  readonly mark?: { readonly before: number | undefined; readonly after: number | undefined };
  /** What does not work as well as it could, one sentence each. */
  readonly warnings: readonly string[];
}

/** A change as programs get it, with the names that `list` uses. */
export interface ChangeReport
  extends Pick<
    Listed,
    'owner' | 'inForce' | 'egressBytesPerSecond' | 'ingressBytesPerSecond' | 'ingressQueue' | 'dscp'
  > {
  readonly cgroup: string;
  /** Whether anything is different than before. */
  readonly changed: boolean;
  readonly warnings: readonly string[];
}

/** Writes a change for programs. */
export function reportChange({ cgroup, before, after, mark, warnings }: Change): ChangeReport {
  return {
    owner: manualOwner(cgroup.id),
    cgroup: cgroup.path,
    inForce: after !== undefined,
    egressBytesPerSecond: after?.egress.rate || null,
    ingressBytesPerSecond: after?.ingress.rate || null,
    ingressQueue: after?.queued ?? false,
    dscp: mark?.after ?? null,
    changed: !isDeepStrictEqual(before, after) || mark?.before !== mark?.after,
    warnings,
  };
}

/** Writes a change for people. */
export function formatChange({ cgroup, before, after, mark, warnings }: Change): string {
  const gone = before === undefined ? 'is not limited.' : 'is no longer limited.';
  const state = after === undefined ? ` ${gone}` : `: ${describeLimit(after)}`;
  const marked = mark?.after === undefined ? '' : ` ${describeMark(mark.after)}`;
  return [`${cgroup.path}${state}${marked}`, ...warnings].join('\n');
}

/** Says also how the limit of what is received is enforced. */
function describeLimit(config: SlotConfig): string {
  const limit = describe(config).replace('The pod', 'It');
  if (config.ingress.rate === 0) return limit;
  return limit.replace(/\.$/, config.queued ? ', through a queue.' : ', policed.');
}
