import { readFile } from 'node:fs/promises';
import type { KubeConfig } from '@kubernetes/client-node';

// As the client's own. A kubelet replaces a token when a fifth of its life is left, at least two minutes.
const rereadMs = 60_000;
type Authenticator = Parameters<KubeConfig['addAuthenticator']>[0];

const provider = 'podrate-token-file';

/**
 * Makes a configuration of a pod read its service account's token anew by a clock that never goes back. The client's own reader
 * goes by the wall clock: set back by hours, it would use a token for as many hours more, beyond its end, and get nothing but 401.
 * @param nowMs milliseconds that never go back
 */
export function rereadToken(config: KubeConfig, nowMs: () => number): void {
  const user = config.getCurrentUser();
  const path: unknown = user?.authProvider?.config?.tokenFile;
  if (user === null || typeof path !== 'string') return;
  config.users = [{ name: user.name, authProvider: { name: provider, config: {} } }];
  config.addAuthenticator(tokenFile(path, nowMs));
}

function tokenFile(path: string, nowMs: () => number): Authenticator {
  let read: { readonly token: string; readonly atMs: number } | undefined;
  return {
    isAuthProvider: ({ authProvider }) => authProvider?.name === provider,
    async applyAuthentication(_user, options) {
      if (read === undefined || nowMs() - read.atMs >= rereadMs) {
        read = { token: (await readFile(path, 'utf8')).trim(), atMs: nowMs() };
      }
      options.headers = { ...options.headers, Authorization: `Bearer ${read.token}` };
    },
  };
}
