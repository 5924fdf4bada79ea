import { type ConfigurationOptions, Observable } from '@kubernetes/client-node';

/**
 * Options of one call to the API server.
 * @param timeoutMs the client has no time limit of its own
 * @param accept the wanted form of the answer; plain JSON if not given
 */
export function requestOptions(timeoutMs: number, accept?: string): ConfigurationOptions {
  return {
    middlewareMergeStrategy: 'append',
    middleware: [
      {
        pre(request) {
          request.setSignal(AbortSignal.timeout(timeoutMs));
          if (accept !== undefined) request.setHeaderParam('Accept', accept);
          return new Observable(Promise.resolve(request));
        },
        post: (response) => new Observable(Promise.resolve(response)),
      },
    ],
  };
}
