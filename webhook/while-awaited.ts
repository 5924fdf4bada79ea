import { setTimeout as sleep } from 'node:timers/promises';
import { ApiFailure } from '../kube/api-failure.ts';

// A server that is just away is not to be asked without a break.
const pauseMs = 100;

/**
 * Makes a call to the API server, and makes it again as long as somebody waits for what it is for and the API server gives no answer, or
 * says that it cannot now.
 * @param attempt throws ApiFailure where the API server does not do as asked
 * @param signal aborted when nobody waits any more, which ends this even while a call is under way; undefined: there is one try
 * @throws what the last try threw, or the signal's reason if none ended
 */
export async function whileAwaited<T>(attempt: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return attempt();
  let failure: unknown;
  const end = Promise.withResolvers<never>();
  const stop = () => end.reject(failure ?? signal.reason);
  signal.addEventListener('abort', stop);
  try {
    while (!signal.aborted) {
      try {
        return await Promise.race([attempt(), end.promise]);
      } catch (error) {
        if (!(error instanceof ApiFailure) || !mayPass(error)) throw error;
        failure = error;
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
    throw failure ?? signal.reason;
  } finally {
    signal.removeEventListener('abort', stop);
    end.promise.catch(() => undefined);
  }
}

function mayPass({ status }: ApiFailure): boolean {
  return status === undefined || status === 429 || status >= 500;
}
