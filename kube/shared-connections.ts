import type { KubeConfig, RequestContext } from '@kubernetes/client-node';

type Dispatcher = NonNullable<ReturnType<RequestContext['getDispatcher']>>;
type Interceptor = (dispatch: Dispatcher['dispatch']) => Dispatcher['dispatch'];

/** Certificates may be renewed on disk; connections made with the old ones are given up after this time, in ms. */
const keepMs = 5 * 60_000;

/**
 * Makes a configuration whose API calls share connections: client-node makes a pool of connections for each call, and
 * so does a TLS handshake for each. Tokens are still read anew for every call. Over HTTP/1.1 a call that times out ends
 * its connection, so one that the network has dropped is not used again.
 * @param monotonic milliseconds of a clock that never steps
 */
export function withSharedConnections(kubeConfig: KubeConfig, monotonic: () => number): KubeConfig {
  let shared: { readonly dispatcher: Dispatcher | undefined; readonly since: number } | undefined;
  const config: KubeConfig = Object.create(kubeConfig);
  config.applySecurityAuthentication = async (context) => {
    await kubeConfig.applySecurityAuthentication(context);
    if (shared === undefined || monotonic() - shared.since > keepMs) {
      shared = { dispatcher: context.getDispatcher()?.compose(http1), since: monotonic() };
    }
    if (shared.dispatcher !== undefined) context.setDispatcher(shared.dispatcher);
  };
  return config;
}

const http1: Interceptor = (dispatch) => (options, handler) => {
  // An option of undici's Agent that its types leave out.
  const narrowed = { ...options, allowH2: false };
  return dispatch(narrowed, handler);
};
