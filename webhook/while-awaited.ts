import { setTimeout as sleep } from 'node:timers/promises';
import { ApiFailure } from '../kube/api-failure.ts';
import type { Caller } from './caller.ts';

// A server that is just away is not to be asked without a break.
const pauseMs = 100;

/**
 * Makes a call to the API server, and makes it again as long as somebody waits for what it is for and the API server gives no answer, or
 * says that it cannot now. The first try is not cut short: it costs nothing more than itself where all is well.
 * @param attempt throws ApiFailure where the API server does not do as asked; it ends by itself
 * @param caller who waits; this ends with that, also while another try is under way; undefined: there is one try
 * @throws what the last try threw
 */
export async function whileAwaited<T>(attempt: () => Promise<T>, caller: Caller | undefined): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (caller === undefined || !isPassing(error)) throw error;
    return again(attempt, caller.signal, error);
  }
}

async function again<T>(attempt: () => Promise<T>, signal: AbortSignal, first: ApiFailure): Promise<T> {
  let failure = first;
  const end = Promise.withResolvers<never>();
  const stop = () => end.reject(failure);
  signal.addEventListener('abort', stop);
  end.promise.catch(() => undefined);
  try {
    for (;;) {
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) throw failure;
      try {
        return await Promise.race([attempt(), end.promise]);
      } catch (error) {
        if (!isPassing(error)) throw error;
        failure = error;
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function isPassing(error: unknown): error is ApiFailure {
  if (!(error instanceof ApiFailure)) return false;
  const { status } = error;
  return status === undefined || status === 429 || status >= 500;
}
