import { ApiException } from '@kubernetes/client-node';

/**
 * Makes a call to the API server, a second time where the first one ends without an answer: a server may close a connection in the
 * moment in which it is used again. To be used for calls that do no harm twice: reads, and writes that name the version they replace.
 * @param timeoutMs for both tries together
 * @throws what the last try throws
 */
export async function withSecondTry<T>(timeoutMs: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return await call(signal);
  } catch (error) {
    if (error instanceof ApiException || signal.aborted) throw error;
    return call(signal);
  }
}
