import { setTimeout as sleep } from 'node:timers/promises';

/** A call that can be made twice without harm, and how. */
export interface TwiceCall<Answer> {
  /** Makes the call. @param signal ends it */
  readonly attempt: (signal: AbortSignal) => Promise<Answer>;
  /** Called before the second try, which must not go where the first one got lost. */
  readonly onSecond: () => void;
  /** Tells whether an answer says only that the other try, or somebody else, was first. */
  readonly isOvertaken: (answer: Answer) => boolean;
  /** When the second try begins if there is no answer, and when both end, in ms. */
  readonly silentMs: number;
  readonly timeoutMs: number;
}

/**
 * Makes a call, and makes it a second time when the first one fails, or beside the first one when that stays without an answer: it
 * may have been lost with its connection, or the server may be slow, and from here both look alike. The first answer counts; one
 * that says that another call was first counts only if the other try has no better one.
 * @throws what the first try ended with, where neither got an answer
 */
export async function callTwice<Answer>(call: TwiceCall<Answer>): Promise<Answer> {
  const { attempt, onSecond, isOvertaken, silentMs, timeoutMs } = call;
  const done = new AbortController();
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([timeout, done.signal]);
  try {
    const first = attempt(signal);
    const failed = () => undefined;
    const early = await Promise.race([
      first.then((answer) => ({ answer }), failed),
      sleep(silentMs, undefined, { signal }),
    ]);
    if (early !== undefined) return early.answer;
    if (timeout.aborted) return await first;
    onSecond();
    const tries = [first, attempt(signal)];
    const overtaken: Answer[] = [];
    const good = tries.map(async (each) => {
      const answer = await each;
      if (!isOvertaken(answer)) return answer;
      overtaken.push(answer);
      throw new Error('overtaken');
    });
    return await Promise.any(good).catch(() => overtaken[0] ?? first);
  } finally {
    done.abort();
  }
}
