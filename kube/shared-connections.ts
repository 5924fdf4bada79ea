import type { KubeConfig, RequestContext } from '@kubernetes/client-node';

/** A client's pool of connections, of the kind that client-node uses. */
export type Dispatcher = NonNullable<ReturnType<RequestContext['getDispatcher']>>;

/** Certificates may be renewed on disk; connections made with the old ones are given up after this time, in ms. */
const keepMs = 5 * 60_000;

/**
 * Makes a configuration whose API calls share connections: client-node makes a pool of connections for each call, and so does a
 * TLS handshake for each. Tokens are still read anew for every call.
 *
 * The connections speak HTTP/1.1. With HTTP/2 all calls would be on one connection, and if what lies between forgets that
 * connection without a word, all would time out on it for minutes; so a call that times out takes only its own connection along.
 * @param monotonic milliseconds of a clock that never steps
 */
export function withSharedConnections(kubeConfig: KubeConfig, monotonic: () => number): KubeConfig {
  let shared: { readonly dispatcher: Dispatcher | undefined; readonly since: number } | undefined;
  const sharing: KubeConfig = Object.create(kubeConfig);
  sharing.applySecurityAuthentication = async (context) => {
    await kubeConfig.applySecurityAuthentication(context);
    if (shared === undefined || monotonic() - shared.since > keepMs) {
      shared = { dispatcher: context.getDispatcher()?.compose(withoutHttp2), since: monotonic() };
    }
    if (shared.dispatcher !== undefined) context.setDispatcher(shared.dispatcher);
  };
  return sharing;
}

const withoutHttp2 =
  (dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] =>
  (options, handler) => {
    // An option of undici's Agent that its types leave out.
    const narrowed = { ...options, allowH2: false };
    return dispatch(narrowed, handler);
  };
