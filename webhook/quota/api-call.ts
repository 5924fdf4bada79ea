import { ApiException } from '@kubernetes/client-node';
import { QuotaError } from './errors.ts';

/**
 * Explains a failed call in one line.
 * @param what what was tried, as in "could not …"
 */
export function apiFailure(what: string, cause: unknown): QuotaError {
  const isAnswer = cause instanceof ApiException;
  const said = isAnswer ? `HTTP ${cause.code}: ${statusMessage(cause.body)}` : deepest(cause);
  return new QuotaError('quota/api', `Could not ${what}: ${said}.`, cause);
}

// A Status object, as text or parsed; of anything else the beginning.
function statusMessage(body: unknown): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? '');
  return (/"message":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text).slice(0, 300);
}

function deepest(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  return inner instanceof Error ? inner.message : String(inner);
}
