import { ApiException, HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node';
import { withSecondTry } from './second-try.ts';

/** Answer of an API server, as far as it matters here. */
interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * Reads one object from the API server, with the authentication and the connections of a configuration. client-node's own calls go
 * through fetch and through a model of each kind: four times the processor time, for what admission does once or twice a pod.
 * @param path as in `/api/v1/namespaces/default`
 * @param timeoutMs after which the call and its connection are given up
 * @returns the parsed object
 * @throws ApiException for any status but 200; Error without an answer, or one that is not JSON
 */
export async function readObject(kubeConfig: KubeConfig, path: string, timeoutMs: number): Promise<unknown> {
  const { status, text } = await withSecondTry(timeoutMs, (signal) => get(kubeConfig, path, signal));
  if (status !== 200) throw new ApiException(status, path, text, {});
  return JSON.parse(text);
}

async function get(kubeConfig: KubeConfig, path: string, signal: AbortSignal): Promise<Answer> {
  // A server may be behind a path of a proxy.
  const url = new URL(`${kubeConfig.getCurrentCluster()?.server.replace(/\/$/, '')}${path}`);
  const context = new RequestContext(url.href, HttpMethod.GET);
  await kubeConfig.applySecurityAuthentication(context);
  const headers = { ...context.getHeaders(), Accept: 'application/json' };
  const dispatcher = context.getDispatcher();
  if (dispatcher === undefined) {
    // A server whose certificate the system trusts needs none.
    const response = await fetch(url, { headers, signal });
    return { status: response.status, text: await response.text() };
  }
  const { statusCode, body } = await dispatcher.request({
    ...{ origin: url.origin, path: url.pathname + url.search, method: 'GET', headers, signal },
  });
  return { status: statusCode, text: await body.text() };
}
