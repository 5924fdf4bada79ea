/** Finds pods whose received packets do not come through their queue, as with the host routing of some network plugins. */
import type { ReceiveTimes } from '../shaper/layout.ts';
import { type SlotState, slotKey } from '../shaper/steps.ts';

/** Why a pod with a queue is policed all the same: a clause of its condition. */
export const bypassProblem =
  "what it receives does not pass the node's end of its device: switch off the network plugin's host routing";

/** How much later than by the queue a packet must have been seen by the limit, in ns: the queue notes times now and then. */
const toleranceNs = 5_000_000_000n;

/** What the search is built from. */
export interface BypassesOptions {
  /** Reads when packets were last seen, in the order of the slots. */
  readonly receiveTimes: (slots: readonly SlotState[]) => Promise<readonly ReceiveTimes[]>;
  /** The kernel's monotonic clock, in ns. */
  readonly monotonicNs: () => bigint;
}

/** The search. */
export interface Bypasses {
  /** Returns the owners of slots that received packets past their queue. @param slots those whose queue is in force */
  find(slots: readonly SlotState[]): Promise<ReadonlySet<string>>;
}

/** Builds the search. It remembers since when it knows a queue: earlier packets prove nothing. */
export function createBypasses({ receiveTimes, monotonicNs }: BypassesOptions): Bypasses {
  let since = new Map<string, bigint>();
  return {
    async find(slots) {
      const now = monotonicNs();
      since = new Map(slots.map((slot) => [slotKey(slot), since.get(slotKey(slot)) ?? now]));
      const times = slots.length > 0 ? await receiveTimes(slots) : [];
      return new Set(
        slots.flatMap((slot, index) => {
          const seen = times[index];
          return seen !== undefined && isBypassed(seen, since.get(slotKey(slot)) ?? now) ? [slot.owner] : [];
        }),
      );
    },
  };
}

function isBypassed({ chargedNs, queuedNs }: ReceiveTimes, sinceNs: bigint): boolean {
  const lastQueued = queuedNs > sinceNs ? queuedNs : sinceNs;
  return chargedNs > lastQueued + toleranceNs;
}
