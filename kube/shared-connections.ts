import type { KubeConfig, RequestContext } from '@kubernetes/client-node';

/** A client's pool of connections, of the kind that client-node uses. */
export type Dispatcher = NonNullable<ReturnType<RequestContext['getDispatcher']>>;

type Interceptor = (dispatch: Dispatcher['dispatch']) => Dispatcher['dispatch'];

/** What a configuration whose calls share connections has more. */
export interface SharedConnections {
  /** Lets calls from now on open new connections, if those that there are were not opened just now; calls under way go on. */
  renewConnections(): void;
}

/** Certificates may be renewed on disk; connections made with the old ones are given up after this time, in ms. */
const keepMs = 5 * 60_000;
/** What is younger has not been forgotten by anything in between; a server that is slow is not to be asked for handshakes, too. */
const youngMs = 5_000;

/**
 * Makes a configuration whose API calls share connections: client-node makes a pool of connections for each call, and so does a
 * TLS handshake for each. Tokens are still read anew for every call.
 *
 * If what lies between forgets connections without a word, calls time out on them for minutes. So all are given up when a call gets
 * no answer on one, and they speak HTTP/1.1, where a call that is given up ends its connection; it also takes half the processor time.
 * @param monotonic milliseconds of a clock that never steps
 */
export function withSharedConnections(kubeConfig: KubeConfig, monotonic: () => number): KubeConfig & SharedConnections {
  let shared: { readonly dispatcher: Dispatcher | undefined; readonly since: number } | undefined;
  const share = (own: Dispatcher | undefined) => {
    const sharing = { dispatcher: own?.compose(http1, tellOfSilence(forget)), since: monotonic() };
    function forget() {
      if (shared === sharing) shared = undefined;
    }
    return sharing;
  };
  const config: KubeConfig & SharedConnections = Object.create(kubeConfig);
  config.renewConnections = () => {
    if (shared !== undefined && monotonic() - shared.since >= youngMs) shared = undefined;
  };
  config.applySecurityAuthentication = async (context) => {
    await kubeConfig.applySecurityAuthentication(context);
    if (shared === undefined || monotonic() - shared.since > keepMs) shared = share(context.getDispatcher());
    if (shared.dispatcher !== undefined) context.setDispatcher(shared.dispatcher);
  };
  return config;
}

const http1: Interceptor = (dispatch) => (options, handler) => {
  // An option of undici's Agent that its types leave out.
  const narrowed = { ...options, allowH2: false };
  return dispatch(narrowed, handler);
};

/** Tells of each call that ends without the beginning of an answer. */
function tellOfSilence(tell: () => void): Interceptor {
  return (dispatch) => (options, handler) => {
    let isAnswered = false;
    const take = (name: string | symbol) => {
      if (name === 'onResponseStart') isAnswered = true;
      if (name === 'onResponseError' && !isAnswered) tell();
    };
    const listening = new Proxy(handler, {
      get(target, name) {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          take(name);
          return value.apply(target, args);
        };
      },
    });
    return dispatch(options, listening);
  };
}
