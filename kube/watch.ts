import { once } from 'node:events';
import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request as requestTls } from 'node:https';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { ApiException, type KubeConfig } from '@kubernetes/client-node';

/** What is watched. */
export interface WatchCall<Event> {
  readonly kubeConfig: KubeConfig;
  /** Of the collection, as in `/api/v1/pods`. */
  readonly path: string;
  /** Selectors, and the resource version to go on from; what is undefined is left out. */
  readonly query: Readonly<Record<string, string | number | boolean | undefined>>;
  /** When the API server shall end it. */
  readonly timeoutSeconds: number;
  /** The media type of the events. */
  readonly accept?: string;
  readonly onEvent: (event: Event) => void;
  /** Ends it, which is no error. */
  readonly signal: AbortSignal;
  /** After how long without a word the connection is taken for dead, in ms. */
  readonly silentMs?: number;
}

// An API server sends a bookmark every minute, and another two seconds before the end (client-go and
// k8s.io/apiserver/pkg/storage/cacher, nextBookmarkTime).
const usualSilentMs = 150_000;

/**
 * Watches objects until the API server ends it. Bookmarks are asked for, among the events: with their versions a watch
 * of what seldom changes can go on where it was. client-node's own Watch takes each half a minute without an event for
 * the end, before any bookmark; by then a busy API server has forgotten the version, and would be asked for a list of
 * everything again and again.
 * @throws ApiException for a status that is not 200; an Error named TimeoutError after a silence; Error for all else
 * that ends it, what onEvent throws included
 */
export async function watchObjects<Event>(call: WatchCall<Event>): Promise<void> {
  const { kubeConfig, path, query, timeoutSeconds, accept = 'application/json', onEvent, signal } = call;
  const { silentMs = usualSilentMs } = call;
  const url = new URL(`${kubeConfig.getCurrentCluster()?.server.replace(/\/$/, '')}${path}`);
  const asked = { ...query, watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: String(timeoutSeconds) };
  for (const [name, value] of Object.entries(asked)) if (value !== undefined) url.searchParams.set(name, `${value}`);
  const options: RequestOptions = {};
  await kubeConfig.applyToHTTPSOptions(options);
  const headers = { ...options.headers, Accept: accept };
  const send = url.protocol === 'http:' ? requestPlain : requestTls;
  try {
    const request = send(url, { ...options, headers, signal, timeout: silentMs });
    const giveUp = () => request.destroy(silence(silentMs));
    request.once('timeout', giveUp).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    // From here on the response tells what ended it.
    request.on('error', () => {});
    request.off('timeout', giveUp).once('timeout', () => response.destroy(silence(silentMs)));
    if (response.statusCode !== 200) throw new ApiException(response.statusCode ?? 0, path, await text(response), {});
    try {
      // Its errors are those of the response.
      const lines = createInterface({ input: response }).on('error', () => {});
      for await (const line of lines) onEvent(JSON.parse(line));
    } finally {
      response.destroy();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function silence(ms: number): Error {
  return Object.assign(new Error(`The API server said nothing for ${ms / 1000} s.`), { name: 'TimeoutError' });
}
