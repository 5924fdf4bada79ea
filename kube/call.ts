/** Requests to the API server, over the connections of a configuration. */
import { ApiException, HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node';
import { Agent, type Dispatcher } from 'undici';
import { apiFailure } from './api-failure.ts';

/** A request to the API server. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  /** As in `/api/v1/namespaces/default`. */
  readonly path: string;
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: object;
  /** The media type of the body: JSON where it is absent. */
  readonly type?: string;
  /** The media type of the answer: JSON where it is absent. */
  readonly accept?: string;
}

/** When a request is given up. */
export type RequestEnd = Pick<Dispatcher.RequestOptions, 'headersTimeout' | 'bodyTimeout'> & {
  readonly signal: AbortSignal;
};

/** A request with an answer that ends. */
export interface ApiCall extends ApiRequest {
  /** What is tried, as in "could not …". */
  readonly what: string;
  /** After which the call is given up. */
  readonly timeoutMs: number;
  /** The statuses that are no failure here. */
  readonly except?: readonly number[];
}

const json = 'application/json';
/** The connections to an API server without TLS. */
const plain = new Agent();
const closedConnection = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/**
 * Sends a request. client-node's generated clients build a model of each object, which takes most of the time of a list.
 * @returns the answer, whatever its status; its body is not read yet
 * @throws Error without an answer
 */
export async function sendRequest(
  kubeConfig: KubeConfig,
  { method, path, query = {}, body, type = json, accept = json }: ApiRequest,
  end: RequestEnd,
): Promise<Dispatcher.ResponseData> {
  // A server may be behind a path of a proxy.
  const url = new URL(`${kubeConfig.getCurrentCluster()?.server.replace(/\/$/, '')}${path}`);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, `${value}`);
  const context = new RequestContext(url.href, HttpMethod[method]);
  await kubeConfig.applySecurityAuthentication(context);
  const dispatcher = (context.getDispatcher() as Dispatcher | undefined) ?? plain;
  const headers = { ...context.getHeaders(), Accept: accept, ...(body && { 'Content-Type': type }) };
  const content = body && { body: JSON.stringify(body) };
  const { origin, pathname, search } = url;
  return dispatcher.request({ ...end, origin, path: `${pathname}${search}`, method, headers, ...content });
}

/**
 * Makes a call to the API server.
 * @returns the parsed answer; undefined for an answer with one of the excepted statuses
 * @throws ApiFailure for all else that goes wrong
 */
export async function callApi<T>(kubeConfig: KubeConfig, call: ApiCall): Promise<T | undefined> {
  const { what, path, timeoutMs, except = [] } = call;
  const end = { signal: AbortSignal.timeout(timeoutMs) };
  try {
    // A server may close a connection in the moment in which it is used again. A second write does no harm: it names
    // its version.
    const { statusCode, body } = await sendRequest(kubeConfig, call, end).catch((error) => {
      if (!closedConnection.has(error.code)) throw error;
      return sendRequest(kubeConfig, call, end);
    });
    const text = await body.text();
    if (except.includes(statusCode)) return undefined;
    if (statusCode < 200 || statusCode > 299) throw new ApiException(statusCode, path, text, {});
    return JSON.parse(text);
  } catch (error) {
    throw apiFailure(what, error);
  }
}
