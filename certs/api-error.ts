import { ApiException } from '@kubernetes/client-node';

/** What went wrong in a call to the API server; a stable name, for programs. */
export type ApiErrorCode =
  | 'api/forbidden'
  | 'api/unauthorized'
  | 'api/not-found'
  | 'api/conflict'
  | 'api/refused'
  | 'api/unavailable';

/** One call to the API server, in the words of its RBAC rules. */
export interface Call {
  readonly verb: 'get' | 'create' | 'update' | 'patch';
  readonly resource: string;
  readonly name: string;
  /** Undefined for objects of the whole cluster. */
  readonly namespace: string | undefined;
}

/** A failed call to the API server. The message says what was tried, what came back and what to do. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;

  constructor(code: ApiErrorCode, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Explains a failed call; whatever is no answer of the API server counts as unavailable. */
export function explainFailure(call: Call, cause: unknown): ApiError {
  const { verb, resource, name, namespace } = call;
  const place = namespace === undefined ? '' : ` in namespace ${namespace}`;
  const tried = `Could not ${verb} ${resource}/${name}${place}`;
  if (!(cause instanceof ApiException)) {
    return new ApiError('api/unavailable', `${tried}: the API server did not answer (${deepest(cause)}).`, cause);
  }
  const said = statusMessage(cause);
  switch (cause.code) {
    case 401:
      return new ApiError('api/unauthorized', `${tried}: the API server does not know this token (${said}).`, cause);
    case 403: {
      const role = namespace === undefined ? 'ClusterRole' : 'Role';
      const scope = verb === 'create' ? '' : ` with the resource name ${name}`;
      const remedy = `the ${role} of this service account needs the verb "${verb}" on ${resource}${scope}, as in manifests/certs.yaml`;
      return new ApiError('api/forbidden', `${tried}: ${remedy} (${said}).`, cause);
    }
    case 404:
      return new ApiError('api/not-found', `${tried}: it does not exist; apply the manifests first (${said}).`, cause);
    case 409:
      return new ApiError('api/conflict', `${tried}: somebody else changed it at the same time (${said}).`, cause);
    default: {
      const passing = cause.code === 429 || cause.code >= 500;
      return new ApiError(passing ? 'api/unavailable' : 'api/refused', `${tried}: ${cause.code}, ${said}.`, cause);
    }
  }
}

// The body is a Status object, as text or parsed. Only its message is shown: bodies of Secrets must not reach a log.
function statusMessage({ body, code }: ApiException<unknown>): string {
  try {
    const status: unknown = typeof body === 'string' ? JSON.parse(body) : body;
    if (typeof status === 'object' && status !== null && 'message' in status) return String(status.message);
  } catch {
    // not JSON: a proxy answered
  }
  return `HTTP ${code} without a message`;
}

function deepest(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  return inner instanceof Error ? inner.message : String(inner);
}
