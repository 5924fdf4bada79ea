import { ApiException } from '@kubernetes/client-node';

/** The API server did not do as it was asked, or did not answer. The message is one line that says what was tried. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure';
  readonly code = 'kube/api';
  /** The HTTP status of the API server's answer; undefined if there was none. */
  readonly status: number | undefined;

  constructor(message: string, options?: ErrorOptions & { readonly status?: number | undefined }) {
    super(message, options);
    this.status = options?.status;
  }
}

/**
 * Explains a failed call in one line.
 * @param what what was tried, as in "could not …"
 */
export function apiFailure(what: string, cause: unknown): ApiFailure {
  const isAnswer = cause instanceof ApiException;
  const said = isAnswer ? `HTTP ${cause.code}: ${statusMessage(cause.body)}` : deepest(cause);
  return new ApiFailure(`Could not ${what}: ${said}.`, { cause, status: isAnswer ? cause.code : undefined });
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
