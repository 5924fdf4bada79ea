import { ApiException, HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node';
import { callTwice } from './second-try.ts';
import type { SharedConnections } from './shared-connections.ts';

/** Where calls go; best with connections that are shared. */
export type Connection = KubeConfig & Partial<SharedConnections>;

/** Answer of an API server, as far as it matters here. */
interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A call about one object. */
interface Call {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** As in `/api/v1/namespaces/default`. */
  readonly path: string;
  readonly body?: string;
}

const jsonBody = { 'Content-Type': 'application/json' };

/**
 * Reads one object from the API server, with the authentication and the connections of a configuration. client-node's own calls go
 * through fetch and through a model of each kind: four times the processor time, for what admission does once or twice a pod.
 * @param path as in `/api/v1/namespaces/default`
 * A call that fails, or gets no answer in a quarter of its time, is made a second time, on another connection (second-try.ts).
 * @param timeoutMs after which the call and its connections are given up
 * @returns the parsed object
 * @throws ApiException for a status that is not of success; Error without an answer, or one that is not JSON
 */
export function readObject(kubeConfig: Connection, path: string, timeoutMs: number): Promise<unknown> {
  return send(kubeConfig, { method: 'GET', path }, timeoutMs);
}

/**
 * Creates an object under its name, as {@link readObject} reads one.
 * @param path of the collection
 * @returns the object as it is stored
 * @throws ApiException with code 409 if there is one already, also if this call made it and its first answer was lost
 */
export function createObject(
  kubeConfig: Connection,
  path: string,
  object: object,
  timeoutMs: number,
): Promise<unknown> {
  return send(kubeConfig, { method: 'POST', path, body: JSON.stringify(object) }, timeoutMs);
}

/**
 * Replaces the version of an object that its metadata names, as {@link readObject} reads one.
 * @returns the object as it is stored
 * @throws ApiException with code 409 if it is another version, also if this call made that and its first answer was lost
 */
export function replaceObject(
  kubeConfig: Connection,
  path: string,
  object: object,
  timeoutMs: number,
): Promise<unknown> {
  return send(kubeConfig, { method: 'PUT', path, body: JSON.stringify(object) }, timeoutMs);
}

// Part of a call's time after which it is made a second time. A server may also close a connection in the moment in which it is used
// again. That two tries do no harm is because what is written names the version that it replaces.
const silentPart = 1 / 4;

async function send(kubeConfig: Connection, call: Call, timeoutMs: number): Promise<unknown> {
  const { status, text } = await callTwice({
    attempt: (signal) => exchange(kubeConfig, call, signal),
    onSecond: () => kubeConfig.renewConnections?.(),
    isOvertaken: ({ status }) => call.method !== 'GET' && status === 409,
    ...{ silentMs: timeoutMs * silentPart, timeoutMs },
  });
  if (status < 200 || status > 299) throw new ApiException(status, call.path, text, {});
  return JSON.parse(text);
}

async function exchange(kubeConfig: Connection, { method, path, body }: Call, signal: AbortSignal): Promise<Answer> {
  // A server may be behind a path of a proxy.
  const url = new URL(`${kubeConfig.getCurrentCluster()?.server.replace(/\/$/, '')}${path}`);
  const context = new RequestContext(url.href, HttpMethod[method]);
  await kubeConfig.applySecurityAuthentication(context);
  const headers = { ...context.getHeaders(), Accept: 'application/json' };
  const request = { method, headers, signal, ...(body && { body, headers: { ...headers, ...jsonBody } }) };
  const dispatcher = context.getDispatcher();
  if (dispatcher === undefined) {
    // A server whose certificate the system trusts needs none.
    const response = await fetch(url, request);
    return { status: response.status, text: await response.text() };
  }
  const answer = await dispatcher.request({ ...request, origin: url.origin, path: url.pathname + url.search });
  return { status: answer.statusCode, text: await answer.body.text() };
}
