/** One call to the API server, over the connections of a configuration. */
import { ApiException, HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node';

/** What is asked of the API server. */
export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  /** As in `/api/v1/namespaces/default`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** What a PATCH is: a merge patch, or one that merges lists by the keys of their items. */
  readonly merge?: 'strategic';
  /** The media type of the answer. */
  readonly accept?: string;
}

const closedConnection = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/**
 * Calls the API server. client-node's generated clients build a model of each object, which takes most of the time of a
 * list.
 * @param timeoutMs when the call is given up
 * @returns the parsed answer
 * @throws ApiException for a status other than success; Error without an answer, or for one that is not JSON
 */
export async function callApi(kubeConfig: KubeConfig, call: ApiCall, timeoutMs: number): Promise<unknown> {
  const { method, path, query = {}, body, merge, accept = 'application/json' } = call;
  // A server may be behind a path of a proxy.
  const url = new URL(`${kubeConfig.getCurrentCluster()?.server.replace(/\/$/, '')}${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const context = new RequestContext(url.href, HttpMethod[method]);
  await kubeConfig.applySecurityAuthentication(context);
  const patch = merge === 'strategic' ? 'strategic-merge-patch+json' : 'merge-patch+json';
  const type = `application/${method === 'PATCH' ? patch : 'json'}`;
  const headers = { ...context.getHeaders(), Accept: accept, ...(body && { 'Content-Type': type }) };
  const signal = AbortSignal.timeout(timeoutMs);
  const request = { method, headers, signal, ...(body && { body: JSON.stringify(body) }) };
  const dispatcher = context.getDispatcher();
  if (dispatcher === undefined) {
    // The system trusts the server's certificate.
    const response = await fetch(url, request);
    return parse(response.status, path, await response.text());
  }
  const send = () => dispatcher.request({ ...request, origin: url.origin, path: url.pathname + url.search });
  // A server may close a connection in the moment in which it is used again. A second write does no harm: it names its
  // version.
  const response = await send().catch((error) => {
    if (!closedConnection.has(error.code)) throw error;
    return send();
  });
  return parse(response.statusCode, path, await response.body.text());
}

function parse(status: number, path: string, text: string): unknown {
  if (status < 200 || status > 299) throw new ApiException(status, path, text, {});
  return JSON.parse(text);
}
