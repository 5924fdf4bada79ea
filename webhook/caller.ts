/** The API server that asks, and how long it waits for the answer. */
import type { Request, Response } from 'express';

// What a registration has that does not say, and the most that one can say.
const [usualMs, mostMs] = [10_000, 30_000];
// The answer must arrive in time.
const ownPart = 0.95;

/**
 * A signal that is aborted when the caller does not wait for the answer any more: it closed the connection, or the time is over
 * that it gave. API servers give `timeoutSeconds` of the registration with each call, as in `?timeout=5s`.
 */
export function callerSignal(request: Pick<Request, 'url'>, response: Response): AbortSignal {
  const gone = new AbortController();
  const waitsMs = timeoutOf(request.url);
  const late = setTimeout(
    () => gone.abort(new Error(`There is no decision in the ${waitsMs / 1000} s that the API server waits.`)),
    waitsMs * ownPart,
  );
  response.once('close', () => {
    clearTimeout(late);
    if (!response.writableEnded) gone.abort(new Error('The API server does not wait for the answer any more.'));
  });
  return gone.signal;
}

/** How long the caller waits, in milliseconds. */
function timeoutOf(url: string): number {
  const [, text, unit] = /[?&]timeout=(\d{1,6})(ms|s)(?:&|$)/.exec(url) ?? [];
  if (text === undefined) return usualMs;
  return Math.min(Number(text) * (unit === 's' ? 1_000 : 1), mostMs);
}
