import type { LabelKeys } from '../../rate/keys.ts';
import type { Pod } from '../pod.ts';
import { hasSameRateLabels } from '../rate-labels.ts';
import type { SeenPod } from './seen-pod.ts';
import { lacksStamp } from './stamp-check.ts';

/** Why a pod still lacks its stamp: its turn has yet to come, a try did nothing, or it may not have one. */
export type BacklogState = 'waiting' | 'tried' | 'refused';

/** A pod that lacks its stamp. */
export interface BacklogEntry {
  readonly seen: SeenPod;
  readonly state: BacklogState;
  /** Not to be tried before, in ms of the clock. */
  readonly dueMs: number;
  /** Tries that did nothing, in a row. */
  readonly tries: number;
  /** The last refusal. */
  readonly reason: string | undefined;
}

/**
 * How many pods are remembered: some megabytes, and more than are done until everything is listed again, which finds those that were
 * let go. A first installation may find a hundred thousand.
 */
export const mostEntries = 5_000;

/** The pods that lack their stamp, in memory: none in an ordinary cluster. */
export interface Backlog {
  /** Takes a pod as it is now; a new one only while there is room. @param dueMs its turn, if it is new here */
  see(pod: SeenPod, dueMs: number): void;
  /** Forgets a pod that is gone, or stamped. @param version in which it left; absent if no later one can matter */
  remove(uid: string, version?: string): void;
  /** After a complete list: forgets the pods that it was meant to have and did not have. */
  retain(isMeant: (pod: Pod) => boolean, uids: ReadonlySet<string>): void;
  /** Puts a pod off, if it is still here. While there is no room for others it is forgotten, until a list finds it again. */
  putOff(uid: string, to: Pick<BacklogEntry, 'state' | 'dueMs' | 'tries' | 'reason'>): void;
  /** The pod whose turn it is; those that were refused come last. */
  next(nowMs: number): BacklogEntry | undefined;
  count(state: BacklogState): number;
  /** How many pods there was no room for, since the start. */
  letGo(): number;
}

/** Builds an empty backlog. */
export function createBacklog(keys: LabelKeys): Backlog {
  const entries = new Map<string, BacklogEntry>();
  let letGo = 0;
  return {
    see(seen, dueMs) {
      const { uid, pod } = seen;
      const known = entries.get(uid);
      // A pod may be told of by several watches, and one of them may lag.
      if (known !== undefined && versionOf(known) > BigInt(seen.resourceVersion)) return;
      if (!lacksStamp(pod, keys)) entries.delete(uid);
      // Anything else may change often, and is no reason to ask again before its time.
      else if (known !== undefined && hasSameRateLabels(known.seen.pod, pod, keys))
        entries.set(uid, { ...known, seen });
      else if (known !== undefined || entries.size < mostEntries)
        entries.set(uid, { seen, state: 'waiting', dueMs, tries: 0, reason: undefined });
      else letGo += 1;
    },
    remove(uid, version) {
      const known = entries.get(uid);
      // What left one selection and came into another one did so in one version, of which another watch may have told first.
      if (known !== undefined && version !== undefined && versionOf(known) >= BigInt(version)) return;
      entries.delete(uid);
    },
    retain(isMeant, uids) {
      for (const [uid, { seen }] of entries) if (isMeant(seen.pod) && !uids.has(uid)) entries.delete(uid);
    },
    putOff(uid, to) {
      const known = entries.get(uid);
      if (known === undefined) return;
      if (entries.size < mostEntries) entries.set(uid, { ...known, ...to });
      else {
        entries.delete(uid);
        letGo += 1;
      }
    },
    next(nowMs) {
      let best: BacklogEntry | undefined;
      for (const entry of entries.values()) {
        if (entry.dueMs <= nowMs && (best === undefined || isBefore(entry, best))) best = entry;
      }
      return best;
    },
    count: (state) => [...entries.values()].filter((entry) => entry.state === state).length,
    letGo: () => letGo,
  };
}

function versionOf({ seen }: BacklogEntry): bigint {
  return BigInt(seen.resourceVersion);
}

function isBefore(one: BacklogEntry, other: BacklogEntry): boolean {
  const isLast = ({ state }: BacklogEntry) => state === 'refused';
  return isLast(one) === isLast(other) ? one.dueMs < other.dueMs : isLast(other);
}
