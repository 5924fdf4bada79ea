/** Keeps the conditions of the pods as they should be: patches what differs, again and again until it is done. */
import { conditionTime, type PatchCondition } from '../../kube/pod-condition.ts';
import { backOff } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { PodRef } from '../pods/desired.ts';
import type { LimitedCondition } from './limited-condition.ts';

/** What it works with. */
export interface ConditionsOptions {
  readonly patch: PatchCondition;
  /** Called when a condition was written in the place of another one, or where there was none. */
  readonly onWritten: (pod: PodRef, condition: LimitedCondition, before: Said | undefined) => void;
  /** Called when a patch failed; another try follows. */
  readonly onError: (pod: PodRef, error: Error) => void;
  readonly clock: Clock;
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number;
}

/** What a condition says. */
export type Said = { readonly status: string; readonly reason?: string; readonly message?: string };

interface Entry {
  pod: PodRef;
  condition: LimitedCondition;
  /** What was last patched, and when. */
  written: { condition: LimitedCondition; at: number } | undefined;
  failures: number;
  waiting: boolean;
}

const atOnce = 4;
const backOffMs = { first: 500, longest: 60_000 };
/** The watch echoes a patch within this time, in ms; a pod that still lacks it then has lost it to somebody else. */
const echoMs = 30_000;

/** Builds the set of wanted conditions. It holds one entry for each pod that is wanted something of. */
export function createConditions({ patch, onWritten, onError, clock, now }: ConditionsOptions) {
  const entries = new Map<string, Entry>();
  let running = 0;
  let stopped = false;

  const isDone = ({ pod, condition, written }: Entry) => {
    if (pod.condition !== undefined && same(pod.condition, condition)) return true;
    return written !== undefined && same(written.condition, condition) && now() - written.at < echoMs;
  };
  const pump = () => {
    for (const [uid, entry] of entries) {
      if (stopped || running === atOnce) return;
      if (entry.waiting || isDone(entry)) continue;
      running += 1;
      entry.waiting = true;
      void write(uid, entry).finally(() => {
        running -= 1;
        pump();
      });
    }
  };
  const write = async (uid: string, entry: Entry) => {
    const { pod, condition } = entry;
    const again = () => {
      entry.waiting = false;
      pump();
    };
    try {
      const outcome = await patch(pod, { ...condition, lastTransitionTime: transition(pod, condition, now()) });
      const before = entry.written?.condition ?? pod.condition;
      if (outcome === 'gone') entries.delete(uid);
      else if (before === undefined || !same(before, condition)) onWritten(pod, condition, before);
      entry.written = { condition, at: now() };
      entry.failures = 0;
      // It may have been wanted otherwise while the patch was on its way.
      again();
    } catch (error) {
      onError(pod, toError(error));
      clock.after(backOff(backOffMs, entry.failures, clock.random()), again);
      entry.failures += 1;
    }
  };

  return {
    /** Wants a condition on a pod. It is patched only if the pod does not have it. */
    want(pod: PodRef, condition: LimitedCondition) {
      const entry = entries.get(pod.uid) ?? { written: undefined, failures: 0, waiting: false };
      entries.set(pod.uid, Object.assign(entry, { pod, condition }));
      pump();
    },
    /** Forgets all pods but these, once nothing is left to be written on them. */
    forgetBut(uids: ReadonlySet<string>) {
      for (const [uid, entry] of entries) if (!uids.has(uid) && isDone(entry)) entries.delete(uid);
    },
    /** Starts no more patches. */
    stop() {
      stopped = true;
    },
  };
}

function same(one: Said, other: Said): boolean {
  return one.status === other.status && one.reason === other.reason && one.message === other.message;
}

/** The time since which a pod's condition has a status, in RFC 3339 and whole seconds, as Kubernetes writes it. */
export function transition(pod: PodRef, { status }: LimitedCondition, nowMs: number): string {
  const since = pod.condition?.status === status ? pod.condition.lastTransitionTime : undefined;
  return conditionTime(since === undefined ? nowMs : new Date(since).getTime());
}
