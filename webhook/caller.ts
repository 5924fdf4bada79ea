/** The API server that asks, and how long it waits for the answer. */
import type { Request, Response } from 'express';

/** Who waits for a decision. */
export interface Caller {
  /** Aborted when it does not wait any more. */
  readonly signal: AbortSignal;
}

// What a registration has that does not say, and the most that one can say.
const [usualMs, mostMs] = [10_000, 30_000];
// The answer must arrive in time.
const ownPart = 0.95;

/**
 * The caller of a request. Its signal is aborted when it closed the connection, or when the time is over that it gave: API servers give
 * `timeoutSeconds` of the registration with each call, as in `?timeout=5s`. The signal is made when it is first asked for: most
 * admissions are decided at once, and need none.
 * @param nowMs a clock in milliseconds that never goes back
 */
export function callerOf(request: Pick<Request, 'url'>, response: Response, nowMs: () => number): Caller {
  return new LazyCaller(request, response, nowMs);
}

// A class, because V8 makes the getter of a plain object in its old generation (Factory::NewAccessorPair): request and response, which it
// refers to, would outlive all but full garbage collections. With one for each request, collections took three times as long.
class LazyCaller implements Caller {
  readonly #response: Response;
  readonly #nowMs: () => number;
  readonly #beganMs: number;
  readonly #url: string;
  #signal: AbortSignal | undefined;

  constructor({ url }: Pick<Request, 'url'>, response: Response, nowMs: () => number) {
    this.#url = url;
    this.#response = response;
    this.#nowMs = nowMs;
    this.#beganMs = nowMs();
  }

  get signal(): AbortSignal {
    this.#signal ??= signalUntil(this.#response, timeoutOf(this.#url), this.#nowMs() - this.#beganMs);
    return this.#signal;
  }
}

function signalUntil(response: Response, waitsMs: number, waitedMs: number): AbortSignal {
  const gone = new AbortController();
  const leave = () => gone.abort(new Error('The API server does not wait for the answer any more.'));
  if (response.destroyed) {
    leave();
    return gone.signal;
  }
  const late = setTimeout(
    () => gone.abort(new Error(`There is no decision in the ${waitsMs / 1000} s that the API server waits.`)),
    waitsMs * ownPart - waitedMs,
  );
  response.once('close', () => {
    clearTimeout(late);
    if (!response.writableEnded) leave();
  });
  return gone.signal;
}

/** How long the caller waits, in milliseconds. */
function timeoutOf(url: string): number {
  const [, text, unit] = /[?&]timeout=(\d{1,6})(ms|s)(?:&|$)/.exec(url) ?? [];
  if (text === undefined) return usualMs;
  return Math.min(Number(text) * (unit === 's' ? 1_000 : 1), mostMs);
}
