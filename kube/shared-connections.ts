import type { KubeConfig } from '@kubernetes/client-node';

/** Certificates may be renewed on disk; connections made with the old ones are given up after this time, in ms. */
const keepMs = 5 * 60_000;

/**
 * Makes a configuration whose API calls share connections: client-node makes a pool of connections for each call, and so does a
 * TLS handshake for each. Tokens are still read anew for every call.
 * @param monotonic milliseconds of a clock that never steps
 */
export function withSharedConnections(kubeConfig: KubeConfig, monotonic: () => number): KubeConfig {
  type Context = Parameters<KubeConfig['applySecurityAuthentication']>[0];
  let shared: { readonly dispatcher: ReturnType<Context['getDispatcher']>; readonly since: number } | undefined;
  const sharing: KubeConfig = Object.create(kubeConfig);
  sharing.applySecurityAuthentication = async (context) => {
    await kubeConfig.applySecurityAuthentication(context);
    if (shared === undefined || monotonic() - shared.since > keepMs) {
      shared = { dispatcher: context.getDispatcher(), since: monotonic() };
    } else if (shared.dispatcher !== undefined) {
      context.setDispatcher(shared.dispatcher);
    }
  };
  return sharing;
}
