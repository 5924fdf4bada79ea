import { createInterface } from 'node:readline';
import { ApiException, type KubeConfig } from '@kubernetes/client-node';
import { type ApiRequest, sendRequest } from './call.ts';

/** What is watched. */
export interface WatchCall<Event> extends Pick<ApiRequest, 'path' | 'query' | 'accept'> {
  readonly kubeConfig: KubeConfig;
  /** When the API server shall end it. */
  readonly timeoutSeconds: number;
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
  const { kubeConfig, timeoutSeconds, onEvent, signal, silentMs = usualSilentMs, ...request } = call;
  const query = { ...call.query, watch: true, allowWatchBookmarks: true, timeoutSeconds };
  // undici's own timeouts wake the process twice a second for as long as a request lasts.
  const silence = new AbortController();
  const error = new Error(`The API server said nothing for ${silentMs / 1000} s.`);
  const timer = setTimeout(() => silence.abort(Object.assign(error, { name: 'TimeoutError' })), silentMs);
  const end = { signal: AbortSignal.any([signal, silence.signal]), headersTimeout: 0, bodyTimeout: 0 };
  try {
    const { statusCode, body } = await sendRequest(kubeConfig, { ...request, method: 'GET', query }, end);
    if (statusCode !== 200) throw new ApiException(statusCode, request.path, await body.text(), {});
    try {
      // Its errors are those of the body.
      const lines = createInterface({ input: body }).on('error', () => {});
      for await (const line of lines) {
        timer.refresh();
        onEvent(JSON.parse(line));
      }
    } finally {
      body.destroy();
    }
  } catch (cause) {
    if (!signal.aborted) throw silence.signal.aborted ? error : cause;
  } finally {
    clearTimeout(timer);
  }
}

/** A change of an object, or a bookmark, which has a version only. */
export interface ObjectEvent<Item> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: Item;
}

/** What an event of type ERROR holds in place of an object. */
interface ErrorEvent {
  readonly type: 'ERROR';
  readonly object: { readonly code?: number; readonly message?: string };
}

/** What is watched from a version on. */
export interface WatchFromCall<Item> extends WatchCall<ObjectEvent<Item>> {
  /** Whether a silence is an end like the API server's own: the connection may be dead. */
  readonly outlivesSilence?: boolean;
}

/**
 * Watches objects from a resource version on, until the API server ends it.
 * @returns the version to go on from; undefined if the API server has forgotten the one before
 * @throws as watchObjects does; ApiException for what the API server says in an event
 */
export async function watchFrom<Item extends { readonly metadata?: { readonly resourceVersion?: string } }>(
  { outlivesSilence = false, ...call }: WatchFromCall<Item>,
  from: string,
): Promise<string | undefined> {
  let version = from;
  const onEvent = (event: ObjectEvent<Item> | ErrorEvent) => {
    if (event.type === 'ERROR') {
      const { code = 0, message = '' } = event.object;
      throw new ApiException(code, message, undefined, {});
    }
    version = event.object.metadata?.resourceVersion ?? version;
    call.onEvent(event);
  };
  try {
    await watchObjects({ ...call, query: { ...call.query, resourceVersion: from }, onEvent });
  } catch (error) {
    if (error instanceof ApiException && error.code === 410) return undefined;
    if (!outlivesSilence || !(error instanceof Error) || error.name !== 'TimeoutError') throw error;
  }
  return version;
}
